"""What a create form asked for, kept under a name: templates with versions, from which new instances are made.

`verbs` is what people do with them, `bodies` how a request begins from one, `prefill` how the create page does.
"""
