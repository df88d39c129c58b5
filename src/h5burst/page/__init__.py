"""A page about a file: one HTML file that opens from disk, asks for nothing over the network, runs nothing foreign.

The frame of such a page: its head with a policy that forbids every request, its sections, values as JSON that no text
can end, and scripts that draw, sort and turn the pages (`draw.js`, `sheet.js`, `pages.js`). What a page shows is its
writer's business.
"""

from h5burst.page.frame import begin, data_element, end, finite_numbers, head, is_page, may_write, packed, table

__all__ = ["begin", "data_element", "end", "finite_numbers", "head", "is_page", "may_write", "packed", "table"]
