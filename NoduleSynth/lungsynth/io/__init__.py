"""Files in and out: CT volumes, masks, seeds, reports and previews."""
