"""Canaries in every setting that is secret and every field of a lead: the service prints none of them anywhere."""

import json
import re
import secrets
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.canaries import records
from tests.conftest import PATIENCE_S, new_webhook_secret, poll
from tests.faults.conftest import Arena
from tests.log_service import LogService, listening
from tests.support.names import new_ids
from tests.support.processes import run_leadhook

from leadhook.local.processes import free_port

FIELDS = ("title", "location", "company_name", "experience", "skills", "bio", "profile_url", "company_page_url")
PROMPTS = ("wildnet_data", "scoring_criteria_and_icp", "message_prompt")
REFUSE = """
create function public.test_refuse() returns trigger language plpgsql as $$ begin
  if exists (select from public.lead_details as d where d.lead_id = new.lead_id and d.title like '%refused%') then
    raise exception using
      message = format('can''t store %s: %s', new.name, new.response), constraint = new.name, detail = new.name;
  end if;
  return new;
end $$;
create trigger test_refuse before insert or update on public.llm_response
  for each row execute function public.test_refuse();
"""
"""A trigger of the application that quotes the person."""
MANNERS = ("ok", "malformed", "empty", "blocked_prompt", "non_json_200", "missing_field", "html_in_message")


class Canaries:
    """Strings that stand nowhere else."""

    def __init__(self) -> None:
        self.secret: dict[str, str] = {}
        self.personal: dict[str, str] = {}

    def key(self, name: str, form: str = "{}") -> str:
        """A secret of that form; what is looked for is what its braces hold."""
        self.secret[name] = f"fake{secrets.token_hex(16)}"
        return form.format(self.secret[name])

    def text(self, name: str) -> str:
        """Something of a lead, hostile on top of it."""
        self.personal[name] = f"canary{secrets.token_hex(6)}"
        word = self.personal[name]
        return f'{word} {word}@example.com\r\n{{"event": "forged"}} | \x1b[2J\' "'

    def found_in(self, text: str) -> list[str]:
        """Which of them it holds."""
        return [name for name, value in {**self.secret, **self.personal}.items() if value in text]


def bring(arena: Arena, canaries: Canaries) -> list[str]:
    """Leads that are all alike, as many as the model has manners."""
    project = arena.project
    user, tag = project.new_group()
    texts = {name: canaries.text(name) for name in (*PROMPTS, *FIELDS, "linkedin_url", "name")}
    assignments = ", ".join(f"{name} = %s" for name in PROMPTS)
    project.run(f"update public.prompts set {assignments} where tag = %s", *[texts[name] for name in PROMPTS], tag)  # noqa: S608 - names of ours
    leads = new_ids(len(MANNERS))
    with project.transaction():
        for lead in leads:
            project.run(
                "insert into public.all_leads (lead_id, user_id, tag, scrapped, linkedin_url)"
                " values (%s, %s, %s, true, %s)",
                lead, user, tag, texts["linkedin_url"],
            )  # fmt: skip
            columns = ("lead_id", "name", *FIELDS)
            project.run(
                f"insert into public.lead_details ({', '.join(columns)})"  # noqa: S608 - names of ours
                f" values ({', '.join(['%s'] * len(columns))})",
                lead, texts["name"], *[f"Chief pumps director {texts[name]}" for name in FIELDS],
            )  # fmt: skip
    return leads


def send(url: str, body: Any, **headers: str) -> int:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, raw, {name.replace("_", "-"): value for name, value in headers.items()})  # noqa: S310 - ours
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310 - ours
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code


def fetch(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:  # noqa: S310 - ours
            return str(answer.read().decode())
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.read().decode()


def printed_by(settings: dict[str, str], *words: str) -> str:
    done = run_leadhook(*words, settings=settings)
    return done.stdout + done.stderr


def knock(url: str, canaries: Canaries, admin: str, static: str) -> None:
    """Requests that are refused or fail, with canaries wherever one can stand."""
    words = " ".join([*canaries.secret.values(), *canaries.personal.values()])
    record = {"lead_id": "unknown", "sent_to_llm": False, "bio": words}
    webhook = {"type": "INSERT", "table": "lead_details", "schema": "public", "record": record, "old_record": None}
    json_type = "application/json"
    statuses = [
        send(f"{url}/webhooks/leads", webhook, content_type=json_type, x_webhook=static),
        send(f"{url}/webhooks/leads", webhook, content_type=json_type, x_webhook=canaries.secret["OTHER"]),
        send(f"{url}/webhooks/leads", {**webhook, "type": words}, content_type=json_type, x_webhook=static),
        send(
            f"{url}/replay",
            {"lead_ids": ["unknown"], "reason": words},
            content_type=json_type,
            authorization=f"Bearer {words}",
        ),
        send(f"{url}/replay", {"lead_ids": [words, 7]}, content_type=json_type, authorization=f"Bearer {admin}"),
        send(f"{url}/replay", words.encode(), content_type=json_type, authorization=f"Bearer {admin}"),
        send(f"{url}/{canaries.personal['name']}?token={admin}", {}, content_type=json_type),
    ]
    assert statuses == [202, 401, 422, 401, 422, 400, 404]


def test_no_canary_appears_anywhere_but_the_name_in_the_operators_file(arena: Arena, tmp_path: "Path") -> None:
    """Output, shipped records, the file, the database's records: of good answers, bad ones, refusals and outages."""
    project, canaries = arena.project, Canaries()
    leads = bring(arena, canaries)
    gemini = [canaries.key(f"gemini {place}", "AI" + "za{}XYZ") for place in range(3)]
    project.set_keys(*gemini, canaries.key("malformed key", "two\nlines {}"))
    quota: dict[str, Any] = {"status": 429, "reason": "MINUTE_QUOTA", "retry_s": 3}
    project.model.order(
        {"match": {"step": "score", "first": 1}, "do": {"finish": "STOP"}},  # evidence that the model works
        {"match": {"step": "message", "first": 4}, "do": {"answer": "html_in_message"}},
        {"match": {"first": 1}, "do": {"error": quota}},
        *({"match": {"first": 1}, "do": {"answer": manner}} for manner in MANNERS if manner != "ok"),
    )
    project.run("update leadhook.controls set max_attempts = 2")
    project.run(REFUSE)
    project.run("update public.lead_details set title = title || ' refused' where lead_id = %s", leads[0])
    project.run(
        "insert into leadhook.pauses (user_id, tag, actor, reason) values (gen_random_uuid(), %s, %s, %s)",
        *[canaries.text(name) for name in ("tag of a pause", "actor of a pause", "reason of a pause")],
    )
    settings = project.environment()
    admin, static, ship = canaries.key("ADMIN_TOKENS"), canaries.key("STATIC"), canaries.key("OTEL HEADERS")
    canaries.key("OTHER")
    second = new_webhook_secret()
    canaries.secret |= {
        "SUPABASE_SECRET_KEY": settings["SUPABASE_SECRET_KEY"],
        "WEBHOOK_SECRETS 1": settings["WEBHOOK_SECRETS"],
        "WEBHOOK_SECRETS 2": second,
        "DATABASE_URL": re.findall(r"://[^:]+:([^@]+)@", settings["DATABASE_URL"])[0],
    }
    file = tmp_path / "operator.log"
    arena.exits.callback(project.run, "drop function public.test_refuse() cascade")
    with listening(LogService()) as log_service:
        service = arena.serve(
            webhooks=True,
            executed=True,
            WEBHOOK_SECRETS=f"{settings['WEBHOOK_SECRETS']} {second}",
            WEBHOOK_STATIC_HEADER=f"x-webhook: {static}",
            ADMIN_TOKENS=admin,
            LOG_SHIP="otlp",
            OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=log_service.url,
            OTEL_EXPORTER_OTLP_HEADERS=f"authorization=Bearer%20{ship}",
            LOG_FILE=str(file),
            METRICS_PORT=str(metrics_port := free_port()),
            MAX_CONCURRENCY="1",  # so that a lead gets two bad messages
            INJECTION_CHECK="off",  # so that their scores, which look manipulated, get a message
        ).wait_until_up()
        poll(lambda: sum(project.states().get(state, 0) for state in ("done", "dead")) == len(leads), service.tail)
        knock(service.url, canaries, admin, static)
        public = {path: fetch(f"{service.url}{path}") for path in ("/", "/ready", "/docs", "/openapi.json")}
        public["/metrics"] = fetch(f"http://127.0.0.1:{metrics_port}/metrics")
        process = {name: Path(f"/proc/{service.pid}/{name}").read_text() for name in ("cmdline", "limits")}
        keeps_owner = canaries.secret["DATABASE_URL"] in Path(f"/proc/{service.pid}/environ").read_text()
        doctor = printed_by(settings | {"ADMIN_TOKENS": admin}, "doctor", "--service", service.url)
        status = printed_by(settings, "status") + printed_by(settings, "status", "--json")
        arena.wait_for_rest()
        service.signal(15)  # type: ignore[arg-type]  # a number is a signal too
        service.wait()

    assert project.value("select count(*) from leadhook.attempts where error_code = 'message_markup'") > 0
    refused = project.run("select outcome, reason from leadhook.attempts where lead_id = %s order by id desc", leads[0])
    assert refused[0] == ("refused", "SQLSTATE P0001")
    output = service.log.read_text()
    lines = [json.loads(line) for line in output.splitlines()]
    assert {"lead.finished", "webhook.accepted", "webhook.refused", "http.request", "service.stopped"} <= {
        line["event"] for line in lines
    }
    shipped = [str(record) for record in log_service.taken]
    assert len(shipped) >= len(lines) - 5, "all but uvicorn's last words"
    operator = file.read_text()
    assert canaries.personal["name"] in operator
    assert operator.count(" | START | ") >= len(leads)
    found = {
        "output": canaries.found_in(output),
        "shipped": canaries.found_in("".join(shipped)),
        "operator's file": [name for name in canaries.found_in(operator) if name != "name"],
        "records": canaries.found_in(records(project.run)),
        **{where: canaries.found_in(text) for where, text in (public | process).items()},
        # Pauses are shown to operators, with their reasons.
        "doctor": [name for name in canaries.found_in(doctor) if not name.endswith("of a pause")],
        "status": [name for name in canaries.found_in(status) if not name.endswith("of a pause")],
        "headers": [name for name in canaries.found_in(str(log_service.headers)) if name != "OTEL HEADERS"],
    }
    assert {where: names for where, names in found.items() if names} == {}
    assert not keeps_owner
    assert re.search(r"Max core file size +0 +0", process["limits"])
    assert "Traceback" not in doctor + status
    assert "that cannot be sent" in status
    assert "forged" not in {line["event"] for line in lines}
    assert "@example.com" not in operator + output
