"""How well nodules keep what was asked, and how real they look: one file for each study."""
