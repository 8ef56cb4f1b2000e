"""The steps of starting a stack. Each starts child processes and waits until they are ready."""

import os
import re
from http import HTTPStatus

from leadhook.command_error import CommandError
from leadhook.local import project
from leadhook.local.binaries import locate
from leadhook.local.database import Database
from leadhook.local.facts import GOOGLE, is_of_a_stack, service_environment
from leadhook.local.health import answers
from leadhook.local.postgrest import PostgrestPorts, start_postgrest
from leadhook.local.stack import Stack, leadhook

SERVICE_GRACE_S = 65


def start_supabase(stack: Stack) -> Database:
    """Start Postgres, PostgREST, the gateway and pg_net's worker; migrate the database unless it is bare."""
    binaries = locate(stack.say)
    with stack.step("postgres"):
        cluster = project.start_cluster(stack.state, binaries, stack.say)
        stack.supervisor.add(cluster.child)
        stack.ports["postgres"] = cluster.port
        database = project.project_database(cluster, stack.keys)
    stack.say("vault       STAND-IN for Supabase Vault: it does not encrypt")
    stack.say("auth        STAND-IN for Supabase Auth: auth.users and auth.uid(), but no sign-in service")
    if not stack.options.bare:
        with stack.step("migrations"):
            leadhook(stack, database, "migrate")
    ports = PostgrestPorts(server=stack.state.port("postgrest"), admin=stack.state.port("postgrest_admin"))
    stack.ports |= {"postgrest": ports.server, "gateway": stack.state.port("gateway")}
    with stack.step("postgrest"):
        child = start_postgrest(
            binaries,
            stack.state.directory,
            authenticator_conninfo=database.authenticator_conninfo,
            jwt_secret=stack.keys.jwt_secret,
            ports=ports,
        )
        stack.supervisor.wait_for(stack.supervisor.add(child), answers(ports.admin, "/ready"))
    with stack.step("gateway"):
        arguments = [
            "--upstream",
            ports.url,
            "--port",
            str(stack.ports["gateway"]),
            "--keys",
            str(stack.state.keys_file),
        ]
        child = stack.python("gateway", "leadhook.local.gateway", *arguments)
        no_key = answers(stack.ports["gateway"], "/rest/v1/", HTTPStatus.UNAUTHORIZED)
        stack.supervisor.wait_for(child, no_key)
    if stack.options.webhooks:
        stack.python("pgnet", "leadhook.local.pgnet", env={"DATABASE_URL": database.admin_conninfo})
        stack.say("pgnet       STAND-IN for pg_net's worker: sends the webhooks")
    else:
        stack.say("pgnet       not started: all webhooks are lost, and only the sweep finds leads")
    return database


def start_gemini(stack: Stack) -> str:
    """Start the Gemini stand-in unless the environment names another Gemini; return the URL in use."""
    named = os.environ.get("GEMINI_BASE_URL")
    if named and is_of_a_stack(os.environ):
        stack.say("gemini      GEMINI_BASE_URL is ignored: it comes from `leadhook local env` of a stack")
    elif named:
        stack.say(f"gemini      {named}, from GEMINI_BASE_URL")
        return named
    if os.environ.get("GEMINI_API_KEY"):
        stack.say("gemini      the real Gemini, because GEMINI_API_KEY is set; its answers cost money")
        return GOOGLE
    stack.ports["gemini"] = stack.state.port("gemini")
    with stack.step("gemini"):
        child = stack.python("gemini", "leadhook.local.gemini_standin", "--port", str(stack.ports["gemini"]))
        stack.supervisor.wait_for(child, answers(stack.ports["gemini"], "/health"))
    stack.say(
        "gemini      STAND-IN, because GEMINI_API_KEY is not set: answers come from simple rules, not from a model"
    )
    return f"http://127.0.0.1:{stack.ports['gemini']}"


def install_webhooks(stack: Stack, database: Database, url: str) -> str:
    """Install the webhook triggers; return the secret that signs the webhooks."""
    with stack.step("webhooks"):
        output = leadhook(stack, database, "webhooks", "install", "--url", url)
    if not (found := re.search(r"\bWEBHOOK_SECRETS=['\"]?(whsec_[A-Za-z0-9+/=]+)", output)):
        raise CommandError("`leadhook webhooks install` did not print WEBHOOK_SECRETS")
    return found[1]


def start_service(stack: Stack, database: Database, facts: dict[str, object]) -> None:
    """Start `leadhook serve` on this stack and wait for its first sweep; later leads are found by webhooks."""
    with stack.step("service"):
        env = service_environment(facts)
        child = stack.python("service", "leadhook", "serve", env=env, grace_s=SERVICE_GRACE_S)
        stack.supervisor.wait_for(child, answers(stack.ports["service"], "/health"))
        stack.supervisor.wait_for(child, lambda: project.is_swept(database))
