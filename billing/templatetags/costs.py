"""What the page of costs needs beside money: where a resource is looked at."""
from django import template

from billing.queries import page_of

register = template.Library()
register.filter("page_of", page_of)
