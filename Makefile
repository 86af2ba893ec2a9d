# Everything that a fresh machine needs is made in .venv; Python, pip and make are enough to begin with.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

HF := .venv-hf/bin
RAY := .venv-ray/bin
CLIENTS := .venv-clients/bin
RECORD := tests/server/clients/record.json

# Where Python writes no compiled files, each of the many processes that tests start compiles tpo again.
unexport PYTHONDONTWRITEBYTECODE

# Compiling all that is installed takes minutes; what is imported is compiled then.
QUICK := --quiet --no-compile

# Tests that need nothing but `make setup`.
ANYWHERE := not vllm and not hf and not ray and not browser

.PHONY: demo test check fix setup test-clients test-hf test-ray test-vllm test-browser docs reference clean

demo: setup  ## set up, and answer a question with the embedded model
	$(BIN)/tpo align "How do I take care of a wooden table?" \
	  --require max-words=40 --effort medium --max-tokens 128 --seed 7

# One engine has the machine to itself: two at once slow each other down. In the order of the folders, small files come
# last, and both workers end together.
test: $(VENV)/dev $(VENV)/js setup  ## set up, and run the tests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "$(ANYWHERE) and not embedded"
	$(BIN)/python -m pytest -m embedded $$(grep -rl "mark\.embedded" tests --include="test_*.py")

check: $(VENV)/dev  ## lint and check types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

fix: $(VENV)/dev  ## let the linter mend and format, and make the reference pages anew
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/python packaging/reference.py

# Some clients do not fit beside the others, and have an environment of their own.
test-clients: $(VENV)/dev $(VENV)/js .venv-clients/ready  ## other people's clients against the server; records the table of docs/clients.md
	TPO_TEST_RECORD=$(RECORD) $(BIN)/python -m pytest -m "not embedded" $(addprefix tests/server/clients/test_,$(addsuffix .py,\
	  openai_python anthropic_python langchain llm inspect javascript))
	TPO_TEST_RECORD=$(RECORD) $(CLIENTS)/python -m pytest $(addprefix tests/server/clients/test_,$(addsuffix .py,\
	  pydantic_ai instructor litellm llamaindex))
	$(BIN)/python packaging/reference.py

test-hf: .venv-hf/ready  ## the tests of hf:, in an environment of their own: torch stays out of the others
	$(HF)/python -m pytest -m "hf and not vllm" tests/hf

test-ray: .venv-ray/ready  ## the tests of --ray, on a real cluster of several nodes on this machine (2 minutes)
	$(RAY)/python -m pytest -m ray tests/clusters

test-vllm: $(VENV)/dev  ## the tests against a real vLLM (TPO_VLLM_URL, or an installation in TPO_VLLM_HOME)
	$(BIN)/python -m pytest -m vllm

test-browser: $(VENV)/dev  ## the page in a real Chromium (TPO_CHROMIUM, or the one that is installed)
	$(BIN)/python -m pip install $(QUICK) --group browser
	$(BIN)/python -m pytest -m browser tests/view/browser

docs: .venv-docs/ready $(VENV)/tpo  ## the documentation as a site in site/public; broken links are errors
	$(BIN)/python packaging/build_docs.py
	.venv-docs/bin/zensical build --strict --config-file site/mkdocs.yml

reference: $(VENV)/dev  ## make the reference pages and the facts on methods' pages from the code
	$(BIN)/python packaging/reference.py

setup: $(VENV)/tpo  ## install tpo and fetch the embedded model (93 MB, once per user)
	@$(BIN)/python -m tpo.models.weights >/dev/null

$(VENV)/tpo: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(QUICK) --upgrade pip
	$(BIN)/python -m pip install $(QUICK) --editable .
	@touch $@

$(VENV)/dev: $(VENV)/tpo
	$(BIN)/python -m pip install $(QUICK) --group dev --group clients
	@touch $@

# Where there is npm, the server is tested with OpenAI's client for JavaScript too; elsewhere these tests are skipped.
$(VENV)/js: tests/server/js/package.json | $(VENV)/tpo
	@if command -v npm >/dev/null; then npm install --prefix tests/server/js --silent --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000 --no-audit --no-fund || true; fi
	@touch $@

# torch by itself first: with a version that is there, nothing fetches another one.
.venv-hf/ready: pyproject.toml
	$(PYTHON) -m venv .venv-hf
	$(HF)/python -m pip install $(QUICK) --upgrade pip
	$(HF)/python -m pip install $(QUICK) torch==2.13.0
	$(HF)/python -m pip install $(QUICK) --editable '.[hf]' --group training httpx hypothesis pytest pytest-asyncio pytest-timeout
	@touch $@

.venv-clients/ready: pyproject.toml tests/server/clients/requirements.txt
	$(PYTHON) -m venv .venv-clients
	$(CLIENTS)/python -m pip install $(QUICK) --upgrade pip
	$(CLIENTS)/python -m pip install $(QUICK) --editable . --requirement tests/server/clients/requirements.txt
	@touch $@

.venv-docs/ready:
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install $(QUICK) --upgrade pip
	.venv-docs/bin/python -m pip install $(QUICK) zensical==0.0.73
	@touch $@

.venv-ray/ready: pyproject.toml
	$(PYTHON) -m venv .venv-ray
	$(RAY)/python -m pip install $(QUICK) --upgrade pip
	$(RAY)/python -m pip install $(QUICK) --editable '.[ray]' --group dev
	@touch $@

clean:  ## remove what this file made
	rm -rf $(VENV) .venv-hf .venv-ray .venv-docs .venv-clients dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
