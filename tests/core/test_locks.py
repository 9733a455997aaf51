import subprocess
import sys

import pytest

from genestill.core.errors import InputError
from genestill.core.locks import hold

HOLD = """
import sys, time
from genestill.core.locks import hold
held = hold(sys.argv[1])
print(flush=True)
time.sleep(60)
"""


def test_a_second_run_on_a_folder_is_refused_until_the_first_has_ended_or_was_killed(tmp_path):
    folder = tmp_path / "results"
    with subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with pytest.raises(InputError, match=rf"another run \(process {holder.pid}\) is at work"):
            hold(folder)
        holder.kill()
    held = hold(folder)
    with pytest.raises(InputError, match="another run"):
        hold(folder)
    held.close()
    hold(folder).close()


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="results cannot be written there"):
        hold(tmp_path / "file" / "results")
