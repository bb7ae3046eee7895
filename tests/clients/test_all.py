"""Runs each folder's clients, with their own dependencies, in front of `octroi dev`. `make clients` sets them up."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "sdk" / "python"))

from test_sdk import ROOT, failing, gateway, serving  # noqa: E402, F401

PATIENCE = 300

# OpenAI's client for vectors, in front of Mistral.
VECTORS = "config: { model_map: { text-embedding-3-small: mistral-embed } }"


def run(command, folder, url, **further):
    # Nothing is fetched from elsewhere, and no proxy stands between.
    local = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    environment = {**os.environ, **local, "OCTROI_URL": url, **further}
    done = subprocess.run(command, cwd=HERE / folder, env=environment, timeout=PATIENCE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nodes_clients(gateway, failing):  # noqa: F811
    run(["node", "--test"], "node", gateway, OCTROI_FAILING_URL=failing)


def test_pythons_clients(tmp_path):
    python = ROOT / "target" / "venv-clients" / "bin" / "python"
    with serving(tmp_path, mistral=VECTORS) as gateway:  # noqa: F811
        run([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_clients.py"], "python", gateway)
