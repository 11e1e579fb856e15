"""Several providers as one: which is asked when, what is kept for how long, who learns of a change, what is recorded.

`chain.Chain` is what others use, `answer.Answer` what it gives, `policy` its times and bounds. The rest, one noun each:
`decision` (pure: what next), `station` and `breaker` (one provider), `walk` (all of them in order), `readings` with
`flight` (one request for many callers) and `cache`, `changes` (what goes past it), `subscription` (who learns of a
change), `threads` (who does the work); `access` and `account` (what is recorded), `tally` and `books` (what is counted
and owed), `access_log`, `audit_file`, `audit_room` and `recorders` (where it goes).
"""
