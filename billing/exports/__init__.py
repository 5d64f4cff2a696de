"""Files of the books, written by operations: asked for, read in parts, put together, fetched by a signed link or brought
somewhere.

`verbs` what people do · `columns` which there are · `sources` where rows come from · `writers` how a format writes them ·
`steps` the operation · `files` where they lie · `links` who may fetch · `schedules`, `delivery` and `folders` what is made and
brought by itself.
"""
