"""A poller with the algorithm of the backend that leadhook replaces, newly written: the baseline, and no example.

Every 5 seconds it asks for the eligible leads and works through them, 6 at a time on threads, before it asks again. A
lead costs four REST requests (a key, a last look, the answer, the mark) and two model calls, each with a model object
of its own. Run by the measurements, with SUPABASE_URL, SUPABASE_SERVICE_ROLE_KEY and GEMINI_BASE_URL.
"""

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal, TypeVar

from langchain_google_genai import ChatGoogleGenerativeAI
from pydantic import BaseModel, SecretStr
from supabase import Client, create_client

POLL_S = 5.0
THREADS = 6
"""What asyncio's default executor has on two cores."""
CONTACT_FROM = 50

Answer = TypeVar("Answer", bound=BaseModel)
Job = dict[str, Any]


class Score(BaseModel):
    """The first answer."""

    SCORE: int
    RESPONSE: str
    SHOULD_CONTACT: Literal[0, 1]


class Outreach(BaseModel):
    """The second answer."""

    SUBJECT: str
    MESSAGE: str


def main() -> None:
    """Poll until killed."""
    client = create_client(os.environ["SUPABASE_URL"], os.environ["SUPABASE_SERVICE_ROLE_KEY"])
    with ThreadPoolExecutor(THREADS) as pool:
        while True:
            jobs: Any = client.rpc("rpc_get_eligible_llm_jobs").execute().data
            print("polling", len(jobs), flush=True)
            list(pool.map(partial(process, client), jobs))
            time.sleep(POLL_S)


def process(client: Client, job: Job) -> None:
    """One lead, from its key to its mark."""
    keys: Any = client.table("gemini_api").select("api_key").execute().data
    key = random.choice(keys)["api_key"]  # noqa: S311 - spreads load
    lead_id = job["lead_id"]
    looked: Any = client.table("lead_details").select("sent_to_llm").eq("lead_id", lead_id).execute().data
    if looked[0]["sent_to_llm"]:
        return
    score = ask(key, job["scoring_criteria_and_icp"], job, Score)
    answer = Outreach(SUBJECT="ineligible", MESSAGE="ineligible")
    if score.SCORE >= CONTACT_FROM:
        answer = ask(key, job["message_prompt"], job, Outreach)
    row = {name: job[name] for name in ("lead_id", "tag", "name", "linkedin_url", "location")} | {
        "score": score.SCORE,
        "response": score.RESPONSE,
        "should_contact": score.SHOULD_CONTACT,
        "subject": answer.SUBJECT,
        "message": answer.MESSAGE,
    }
    client.table("llm_response").upsert(row).execute()
    client.table("lead_details").update({"sent_to_llm": True}).eq("lead_id", lead_id).execute()


def ask(key: str, instruction: str, job: Job, shape: type[Answer]) -> Answer:
    """One model call."""
    chat = ChatGoogleGenerativeAI(
        model="gemini-3.5-flash-lite", api_key=SecretStr(key), base_url=os.environ["GEMINI_BASE_URL"], max_retries=1
    )
    lead = "\n".join(f"{name}: {value}" for name, value in job.items() if value and name not in ("user_id", "tag"))
    answer: Any = chat.with_structured_output(shape).invoke(
        [("system", f"{instruction}\n\n{job['wildnet_data']}"), ("human", lead)]
    )
    return shape.model_validate(answer)


if __name__ == "__main__":
    main()
