# Mains: the commands. What they do, and in which order, is in compute/lab/setup/ (standard library only).
PYTHON3 := command -v python3 >/dev/null || (apt-get -q update && apt-get -q -y install python3) && python3
SETUP := $(PYTHON3) compute/lab/setup
.DEFAULT_GOAL := help
.PHONY: help run down clean distclean test bench soak services status logs shell lint messages backup restore

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

run: ## bring everything up and print URL and logins (PORT=8000, BIND=127.0.0.1)
	@$(SETUP) run
down: ## stop everything and remove what was made outside var/
	@$(SETUP) down
clean: ## down, and remove the data of both stages
	@$(SETUP) clean
distclean: clean ## clean, and remove caches and virtual environment
	rm -rf var .venv
test: ## run the tests in their own stage (ARGS="tests/harness -k ports")
	@$(SETUP) test -- $(ARGS)
bench: ## measure (ARGS=…)
	@$(SETUP) bench -- $(ARGS)
soak: ## run the long crash harness (ARGS=…)
	@$(SETUP) soak -- $(ARGS)
services: ## only PostgreSQL and Redis of both stages, left running
	@$(SETUP) services
status: ## what runs, and whether it is healthy
	@$(SETUP) status
logs: ## follow the logs of `make run`
	@$(SETUP) logs
shell: ## Django's shell in the stage of `make run`
	@$(SETUP) exec run .venv/bin/python manage.py shell
backup: ## copy the database of `make run` (FILE=…)
	@$(SETUP) exec run .venv/bin/python manage.py backup $(FILE)
restore: ## put a backup in its place (FILE=… ARGS=--even-if-in-use)
	@$(SETUP) exec run .venv/bin/python manage.py restore $(FILE) $(ARGS)
lint: ## ruff
	.venv/bin/ruff check .
messages: ## collect translatable strings into portal/locale
	@$(SETUP) exec run .venv/bin/python manage.py makemessages -l zh_Hans --no-obsolete --ignore 'var/*' --ignore '.venv/*' --ignore 'tests/*'
