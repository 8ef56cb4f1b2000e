r"""THIS IS A STAND-IN FOR GEMINI. It is not Google, no model runs here, nothing is billed.

It speaks the wire format of `POST /v1beta/models/{model}:generateContent`, so that the real client can't tell the
difference, answers by simple visible rules, and misbehaves on order.

Run it: `python -m leadhook.local.gemini --host 127.0.0.1 --port 8300 [--latency-ms 800 | --latency-ms 300-900]`
(GEMINI_STANDIN_LATENCY_MS does the same; the default is 0). Every response carries the header `X-Stand-In`.

WHAT IT ANSWERS
  A response schema with the property SCORE asks for a score, one with SUBJECT for a message, anything else for text.
  The lead is read from lines `name: value` of the user contents, the criteria from the system instruction.
  The score is the sum, between 0 and 100, of
    seniority  chief, founder, owner, VP … 40, head, director 34, manager, lead, principal, architect 24, senior 14,
               any other title 8, none 0
    fit        6 for each word of the system instruction (5 letters or more; ranks and everyday words aside) that the
               lead's title, company, location, experience, skills or the start of its bio holds too; at most 48
    facts      1 for each of name, title, company_name, experience, bio that is filled
    spread     0 to 8, computed from the lead's name and id
  A student, intern, recruiter, job seeker or retired lead gets at most 25, one without title, company and experience
  at most 20. What a lead says about its own score changes nothing. SHOULD_CONTACT is 1 from 50 up.
  The same request gets the same answer. About four characters count as a token. A system instruction of 4,096 tokens
  or more that the same key sent before is reported as cached. maxOutputTokens cuts, as at Google.
  A key that is missing gets 403. A key that contains `placeholder` or `invalid` gets 400 API_KEY_INVALID, a model
  whose name does not begin with `gemini-` gets 404.

ORDERS
  PUT /orders      a JSON list of rules, replaces all: [{"match": {…}, "do": {…}}, …]
  GET /orders      the rules and how many calls each of them matched
  DELETE /orders   behave again

  match, all optional, all must hold:
    key    the key itself (only its fingerprint is kept), its fingerprint, or its last four characters
    lead   a part of the request's text
    step   "score", "message" or "text"
    share  0 to 1: that part of the calls, at random; with "seed" repeatably
    first  only the first n calls that match otherwise
  do:
    latency_ms  a number, or [low, high]; alone, later rules still decide the rest. The first rule that matches and
                says more decides
    one of
      error   a status, or {"status": 429, "reason": "MINUTE_QUOTA", "retry_s": 7}; "retry_s": null names no delay.
              Reasons:
              400 API_KEY_INVALID, API_KEY_EXPIRED, FAILED_PRECONDITION, CONTEXT_OVERFLOW, SETTINGS, none (bad request)
              401, 403 (none, API_KEY_LEAKED, SERVICE_DISABLED), 404 (unknown model), 408, 409, 413, 499
              429 MINUTE_QUOTA, DAY_QUOTA, RETRY_ONLY (a delay, no quota), none (shared capacity, no details)
              500, 502 (an HTML page), 503, 504
              HTML, with 400, 401, 403, 404, 429, 500, 502, 503, 504: a proxy's page instead of Google's JSON
      answer  malformed, truncated, truncated_but_stop, fenced, out_of_range, missing_field, too_long, empty, no_parts,
              no_candidates, nothing ({}), blocked_prompt, blocked_safety, blocked_recitation, thinking_only,
              thought_parts (a good one behind a part of thoughts), non_json_200, nul, surrogate, html_in_message
      text    this text instead of the answer's JSON
      block   the prompt is blocked, for this reason: SAFETY, BLOCKLIST, OTHER, … or one that Google does not have yet
      raw     {"status": 200, "body": "[]", "content_type": "application/json"}: these bytes
      hang    true: never answers
      reset   true: resets the connection before the headers
      close   true: closes the connection before the headers
    and, with a proper answer or `text`,
      finish  this finish reason instead: SPII, LANGUAGE, OTHER, … or one that Google does not have yet
    and, to how it is sent,
      cut     true or "in_body": closes the connection in the middle of the body; "after_headers": before the body
      stall   the same places, but the connection stays open and nothing more comes
      drip    true, or {"bytes": 20, "every_ms": 500}: sends slowly

CALLS
  GET /calls?since=N   {"sum": {…}, "calls": […]}: what came in after call N (the last 20,000); a call under way has no
                       status yet; `gone` says that the caller went away; `key` is the first 16 hex digits of SHA-256
  GET /calls/{n}       that call with the request's body (kept for the last 2,000 calls, at most 64 MiB)
  DELETE /calls        forget them; numbers go on
  GET /health          {"ok": true}
"""
