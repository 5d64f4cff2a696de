"""A browser that walks every page, as somebody, in a language: what it finds wrong fails the test."""
