# make reconstruct [DATA=folder|scenes:name] [METHOD=volsdf|nef|radiance] [PRESET=draft|fast|balanced|paper] [OUT=runs] [ARGS=...]
# make test | lint | bench | bench-job | bench-readme | sanitize | fuzz | crashes | kills | pictures | docs
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
DATA ?= scenes:bracket
METHOD ?= volsdf
PRESET ?= fast
OUT ?= runs
ARGS ?=
NATIVE := $(wildcard kernels/native/bodies/*.h kernels/native/cpu/*)

.PHONY: reconstruct test lint bench bench-job bench-readme sanitize fuzz crashes kills pictures docs setup clean

reconstruct: setup
	$(VENV)/bin/recon reconstruct $(DATA) --method $(METHOD) --preset $(PRESET) --out $(OUT) $(ARGS)

# Two processes of one thread each, a file to each at a time: most of a test is not parallel in itself.
test: setup
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile $(ARGS)

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright

bench: setup
	$(PY) -m kernels.bench

# What the main job costs, stage by stage, on three scenes: make bench-job [ARGS="--against REVISION"]. On a quiet machine only.
bench-job: setup
	$(PY) -m scenes.benchmark.whole_job $(ARGS)

# Measures, and writes the table into the README. On a quiet machine only.
bench-readme: setup
	$(PY) -m kernels.bench --markdown README.md

# The kernels' tests once under AddressSanitizer and UBSan.
sanitize: setup
	kernels/native/sanitize.sh

# 1000 mutants of each kind of file that is read: none may end in a traceback, take 10 s or much memory.
fuzz: setup
	$(PY) -m tests.fuzz --each 1000 $(ARGS)

# A run goes on from every state that a crash can leave.
crashes: setup
	FORMFIELD_CRASHES=1/1 $(PY) -m pytest tests/recon/test_crash_points.py

# 100 random kills over whole runs: all end alike.
kills: setup
	OMP_NUM_THREADS=1 $(PY) -m tests.kills $(ARGS)

# The API reference, from the docstrings: build/docs/index.html.
docs: setup
	$(PY) -m pdoc --docformat google --output-directory build/docs kernels recon scenes viewer

# The README's pictures: a surface, the curves found on it, a turntable of both, the page that holds them, and the live viewer
# (which needs Chromium).
pictures: setup
	$(VENV)/bin/recon reconstruct scenes:bracket --out runs/pictures
	surface="$$(ls -td runs/pictures/bracket/volsdf-hashgrid/*/ | head -1)" && cp "$${surface}preview.png" docs/bracket.png && \
	$(VENV)/bin/recon reconstruct scenes:bracket --method nef --edges "surface:$${surface}" --out runs/pictures
	curves="$$(ls -td runs/pictures/bracket/nef-hashgrid/*/ | head -1)" && \
	$(VENV)/bin/recon render "$${curves}" --of mesh curves --modes clay --size 360 --frames 40 --fps 15 --out docs/turntable.gif && \
	cp "$${curves}curves.png" docs/wireframe.png && \
	$(VENV)/bin/recon view "$${curves}" --export runs/pictures/bracket.html && \
	$(PY) -m tests.viewer.picture "$${surface}" docs/viewer.png --tab Render

setup: $(VENV)/.ready

# Also rebuilds the native kernels when their sources change. Without a C++ compiler the installation succeeds and the program says
# once that it runs on the slow reference.
$(VENV)/.ready: pyproject.toml constraints.txt CMakeLists.txt $(NATIVE)
	test -x $(PY) || $(PYTHON) -m venv $(VENV) || \
		{ echo "Cannot create a virtual environment with $(PYTHON). On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,gpu,cad,viewer,photos]'
	touch $@

clean:
	rm -rf build kernels/_native*.so $(VENV)/.ready
