"""Serves the stand-alone app."""

from __future__ import annotations

import os
import time
from collections.abc import MutableMapping

from starlette.middleware import Middleware

from distill_prior_gen.hookspecs import TabContext
from distill_prior_gen.ui.guard import Guard
from distill_prior_gen.ui.hosts import LOCAL_HOSTS, is_local
from distill_prior_gen.ui.temporary_files import temporary_folder

MAX_WAITING_CALLS = 100
"""Calls of the page that may wait in the queue."""

MAX_SESSIONS = 200
"""Browser sessions whose takes are kept. The one that was used longest ago is dropped first."""


def serve(
    context: TabContext,
    host: str = "127.0.0.1",
    port: int | None = None,
    auth: tuple[str, str] | None = None,
    share: bool = False,
    open_: bool = False,
) -> None:
    """Serve the stand-alone app until the process is interrupted.

    Args:
        context: folders and device of the tabs.
        host: address to listen at.
        port: port to listen at, None for the first free port from 7860.
        auth: user and password, None to let everyone in.
        share: whether to make the page public through Gradio's servers.
        open_: whether to open the page in a browser.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_RUN_HISTORY"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    _bypass_proxies(os.environ, host.strip("[]"))
    with temporary_folder() as folder:
        # Imported here, because Gradio creates its folders for temporary files on import.
        from distill_prior_gen.ui.app import create_app
        from distill_prior_gen.ui.model_list import MAX_UPLOAD_BYTES
        from distill_prior_gen.ui.take_maker import stop_all

        app = create_app(context)
        guard = Middleware(Guard, local=is_local(host, share), folder=folder)
        app.queue(api_open=False, max_size=MAX_WAITING_CALLS)
        try:
            app.launch(
                server_name=f"[{host}]" if ":" in host and "[" not in host else host,
                server_port=port,
                auth=auth,
                share=share,
                inbrowser=open_,
                max_file_size=MAX_UPLOAD_BYTES,
                state_session_capacity=MAX_SESSIONS,
                enable_monitoring=False,
                ssr_mode=False,
                prevent_thread_lock=True,
                app_kwargs={"middleware": [guard]},
            )
            while app.is_running:
                time.sleep(0.1)
        finally:
            stop_all()
            app.close(verbose=False)


def _bypass_proxies(environment: MutableMapping[str, str], host: str) -> None:
    """Keep proxies away from the requests that Gradio sends to its own server at the start."""
    given = [environment[name] for name in ("no_proxy", "NO_PROXY") if environment.get(name)]
    environment["no_proxy"] = environment["NO_PROXY"] = ",".join([*given, *LOCAL_HOSTS, host])
