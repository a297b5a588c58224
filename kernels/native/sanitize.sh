#!/bin/sh
# Builds the native kernels with AddressSanitizer and UndefinedBehaviorSanitizer in a copy of the sources (build/sanitize) and runs the
# kernel tests on them, but for those of NVRTC, which does not find its own parts then. Usage: kernels/native/sanitize.sh [pytest arguments];
# PYTHON chooses the interpreter.
set -eu
cd "$(dirname "$0")/../.."
python=$(command -v "${PYTHON:-.venv/bin/python}")
case $python in /*) ;; *) python=$PWD/$python ;; esac
copy=$PWD/build/sanitize
mkdir -p "$copy"
rm -rf "$copy/kernels" "$copy/tests" "$copy/docs"
cp -Rp kernels CMakeLists.txt README.md docs "$copy"
mkdir -p "$copy/tests"
cp -Rp tests/kernels "$copy/tests"
rm -f "$copy"/kernels/_native*.so
cmake=$("$python" -c 'import os, sys; path = os.path.join(os.path.dirname(sys.executable), "cmake"); print(path if os.path.exists(path) else "cmake")')
"$cmake" -S "$copy" -B "$copy/build" -DPython_EXECUTABLE="$python" -DFORMFIELD_SANITIZE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo
"$cmake" --build "$copy/build" -j 2
cd "$copy"
# the interpreter itself is not instrumented: the runtime has to come first, and its own leaks are not ours
compiler=${CXX:-c++}
LD_PRELOAD="$("$compiler" -print-file-name=libasan.so) $("$compiler" -print-file-name=libubsan.so)" \
ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONPATH="$copy" \
    "$python" -c 'import sys, pytest
sys.path.insert(0, sys.argv[1])
# an editable install would answer for "kernels" first
sys.meta_path[:] = [finder for finder in sys.meta_path if "ScikitBuild" not in type(finder).__name__]
import kernels
assert kernels.__file__.startswith(sys.argv[1]), kernels.__file__
raise SystemExit(pytest.main(["-q", "-p", "no:cacheprovider", "--ignore", "tests/kernels/test_cuda_compile.py", "--rootdir", sys.argv[1], *(sys.argv[2:] or ["tests/kernels"])]))' "$copy" "$@"
