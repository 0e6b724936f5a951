"""Runs one of the tests in Python, which finds the modules of this folder and those of bench/ then:

    python3 tests/e2e tests/e2e/files/test_inputs.py --lloyd build/release/lloyd --reference build/release/tests/reference --data tests/data
"""
import os
import runpy
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
if len(sys.argv) < 2:
    sys.exit(__doc__)
sys.path[0] = HERE
sys.path.append(os.path.join(HERE, "..", "..", "bench"))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
