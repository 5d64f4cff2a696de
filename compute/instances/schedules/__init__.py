"""What is done to instances by the clock: a verb, a cron expression in a time zone, and one instance or all with a tag.

`cron` computes moments, `verbs` is what people do with schedules, `running` is the clock's part, `telling` says who hears of it.
"""
