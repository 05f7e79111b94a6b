"""`tb-layerview view LOGDIR`: TensorBoard on this machine alone, with the Layers tab open in a browser."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser

from tb_layerview.commands import loopback


def view(logdir: str, port: int | None, with_browser: bool) -> int:
    """Serves TensorBoard until it is interrupted.

    Args:
      logdir: A folder that holds runs, or will.
      port: Where to listen; 0 for any free port, None for the first free one from 6006 on.
      with_browser: Whether the tab is opened in the person's browser.

    Returns:
      0 once it is interrupted, 2 if it cannot be begun: a sentence says why.
    """
    try:
        folder, names = loopback.folder_with_runs(logdir)
    except NotADirectoryError as error:
        return _refuse(f"{error}")
    if port and not loopback.is_free(port):
        return _refuse(f"port {port} is taken, or not yours to take. Give another one, or none for the first free one.")
    if not names:
        print(f"tb-layerview view: there is no run with layers below {logdir!r} yet.", file=sys.stderr)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorBoard imports TensorFlow, if it is there
    loopback.prepare_for_stores(folder)
    from tensorboard import default, program

    board = program.TensorBoard(default.get_plugins())
    board.configure(logdir=folder, host=loopback.HOST, port=port, **loopback.flags_for(folder))
    try:
        url = board.launch() + loopback.FRAGMENT
    except program.TensorBoardServerException as error:
        return _refuse(f"TensorBoard does not start: {error.msg}. Give another port.")
    print(f"\nThe Layers tab: {url}   (stop with Ctrl+C)\n", flush=True)
    try:
        if with_browser and not _opened(url):
            print("No browser opens from here: open that address in one.", flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        print(flush=True)
    return 0


def _refuse(why: str) -> int:
    print(f"tb-layerview view: {why}", file=sys.stderr)
    return 2


def _opened(url: str) -> bool:
    """Opens an address in a browser with a window, or the one that BROWSER names; returns whether that went well."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    # This very class is for browsers in the terminal, which can show no tab and would take the terminal.
    if type(browser) is webbrowser.GenericBrowser and "BROWSER" not in os.environ:
        return False
    return browser.open(url)
