"""Data volumes: made, put into instances and taken out of them, grown and deleted. Root volumes only grow here; else they come
and go with their instances.

A volume is a file in a pool of one host, and only instances of that host can have it.
"""
