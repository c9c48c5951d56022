"""MLflow's server behind the checks that it doesn't make itself: ``python -m autotune.recording.mlflow.gated_server``.

MLflow 3.17 lets any page on any port of this machine write, and any name of a private network
read; and it asks nobody for a token. Its own checks stand behind ours.
"""

import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict

from autotune.garbage import collected_seldom
from autotune.gate import Answer, Gate, Request

_Message: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[_Message, _Receive, _Send], Awaitable[None]]


class ServerOrder(BaseModel):
    """What MLflow's server serves, and at which address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    port: int
    store: str
    """MLflow's backend store; its URI, absolute."""
    artifacts: str | None
    """Where artifacts are stored; None for MLflow's own choice."""
    token: str | None


class GatedApp:
    """An ASGI application that answers what the gate lets through."""

    def __init__(self, app: AsgiApp, *, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Answer, or hand on; a WebSocket, which MLflow has none of, is refused."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        answer = Answer(403, "") if scope["type"] != "http" else self._gate.answer(_read_request(scope))
        if answer is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await _send_answer(answer, send=send)
        else:
            await send({"type": "websocket.close"})


def main() -> None:
    """Serve the order on stdin until a signal."""
    order = ServerOrder.model_validate_json(sys.stdin.read())
    gate = Gate(order.host, port=order.port, token=order.token)
    with collected_seldom():
        app = _open_mlflow(order, gate=gate)
        import uvicorn

    uvicorn.run(GatedApp(app, gate=gate), host=order.host, port=order.port, log_level="warning")


def _open_mlflow(order: ServerOrder, *, gate: Gate) -> AsgiApp:
    """What ``mlflow server`` sets before it starts its workers, and its application."""
    # MLflow's own check takes Hosts as patterns, which is looser than ours; our gate has decided before it.
    os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = ",".join(sorted(gate.hosts))
    os.environ["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = ",".join(f"http://{host}" for host in sorted(gate.hosts))
    from mlflow.server import constants

    os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = order.store
    os.environ[constants.SERVE_ARTIFACTS_ENV_VAR] = "true"
    os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = "mlflow-artifacts:/"
    os.environ[constants.ARTIFACTS_DESTINATION_ENV_VAR] = order.artifacts or "./mlartifacts"
    from mlflow.server.fastapi_app import app
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(order.store, None, "mlflow-artifacts:/")
    application: AsgiApp = app
    return application


def _read_request(scope: _Message) -> Request:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return Request(scope["method"], path=scope["path"], query=scope["query_string"].decode("latin-1"), headers=headers)


async def _send_answer(answer: Answer, *, send: _Send) -> None:
    headers = [("Content-Type", "text/plain; charset=utf-8"), *answer.headers]
    encoded = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
    await send({"type": "http.response.body", "body": answer.body.encode()})


if __name__ == "__main__":
    main()
