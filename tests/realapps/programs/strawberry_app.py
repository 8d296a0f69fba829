"""Strawberry on FastAPI: queries, a mutation, subscriptions."""

from collections.abc import AsyncIterator
from typing import Any

from tests.realapps.visit import Program, Visit


def create() -> Any:
    """Return the app."""
    import strawberry
    from fastapi import FastAPI
    from strawberry.fastapi import GraphQLRouter

    async def _count(to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    @strawberry.type
    class Query:
        @strawberry.field
        def hello(self, name: str) -> str:
            return f"hello {name}"

    @strawberry.type
    class Mutation:
        @strawberry.mutation
        def double(self, number: int) -> int:
            return number * 2

    @strawberry.type
    class Subscription:
        count = strawberry.subscription(_count)

    app = FastAPI()
    schema = strawberry.Schema(Query, Mutation, Subscription)
    app.include_router(GraphQLRouter(schema), prefix="/graphql")
    return app


async def job(visit: Visit) -> None:
    """Query, mutate, and subscribe by both WebSocket protocols and by multipart."""
    import json

    from websockets.asyncio.client import connect

    with visit.httpx() as client:
        for label, text in (
            ("query", '{ hello(name: "Ada") }'),
            ("mutation", "mutation { double(number: 21) }"),
            ("wrong query", "{ nothing }"),
        ):
            visit.response(label, client.post("/graphql", json={"query": text}))
        visit.response("GraphiQL", client.get("/graphql", headers={"accept": "text/html"}))
        response = client.post(
            "/graphql",
            json={"query": "subscription { count(to: 3) }"},
            headers={"accept": "multipart/mixed;subscriptionSpec=1.0, application/json"},
        )
        visit.response("subscription by multipart", response)
    address = visit.base.replace("https", "wss") + "/graphql"
    for protocol, start in (("graphql-transport-ws", "subscribe"), ("graphql-ws", "start")):
        async with connect(
            address,
            ssl=visit.tls,
            proxy=None,
            subprotocols=[protocol],  # type: ignore[list-item]
        ) as socket:
            await socket.send('{"type": "connection_init"}')
            first = json.loads(await socket.recv())
            query = {"query": "subscription { count(to: 5) }"}
            await socket.send(json.dumps({"id": "1", "type": start, "payload": query}))
            seen = [first]
            while seen[-1]["type"] != "complete":
                seen.append(json.loads(await socket.recv()))
            visit.note(protocol, chosen=str(socket.subprotocol), seen=seen)


PROGRAMS = [
    Program(
        name="Strawberry",
        module="strawberry_app",
        distribution="strawberry-graphql",
        does="a query, a mutation, subscriptions by two WebSocket protocols and by multipart",
        visitors="httpx, websockets",
        job=job,
    )
]
