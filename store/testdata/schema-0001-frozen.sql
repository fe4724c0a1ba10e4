-- DO NOT EDIT. A database as the first release of the schema made it, for TestUpgradeFromTheFirstSchema: every later program
-- must be able to open it and go on.
CREATE TABLE migrations (version BIGINT PRIMARY KEY, name TEXT NOT NULL, at BIGINT NOT NULL);

-- The first schema. Times are Unix milliseconds in UTC, truths are 0 and 1, so that rows read the same on both databases.
-- In double braces stand the few words that SQLite and PostgreSQL spell differently: see dialect.go.

-- A sending is what deliveries belong to: a mailbox (its recipients are arrivals), later a campaign or a step of a series
-- (their recipients are members).
CREATE TABLE sendings (
    id      {{id}},
    kind    TEXT NOT NULL,
    name    TEXT NOT NULL,
    created BIGINT NOT NULL,
    UNIQUE (kind, name)
);

CREATE TABLE mailboxes (
    id          {{id}},
    name        TEXT NOT NULL UNIQUE,
    address     TEXT NOT NULL,
    sending     BIGINT NOT NULL REFERENCES sendings (id),
    started     BIGINT NOT NULL,
    subaddress  SMALLINT,                    -- whether LOCAL+TOKEN@ arrives; NULL: not tried yet
    uidvalidity BIGINT NOT NULL DEFAULT 0,   -- where watching began: everything up to uid is history
    uid         BIGINT NOT NULL DEFAULT 0,
    history     BIGINT NOT NULL DEFAULT 0    -- messages there at that time
);

-- A person's answer ends a round; each round has one acknowledgement and one promise at most.
CREATE TABLE threads (
    id           {{id}},
    mailbox      BIGINT NOT NULL,
    last         BIGINT NOT NULL,            -- the latest activity
    round        INTEGER NOT NULL,
    acknowledged INTEGER NOT NULL,           -- the last round that had its acknowledgement; 0: none
    promised     INTEGER NOT NULL            -- the last round that had its promise; 0: none
);

CREATE TABLE arrivals (
    id           {{id}},
    mailbox      BIGINT NOT NULL REFERENCES mailboxes (id),
    uidvalidity  BIGINT NOT NULL,            -- negative: the number was given to another message since
    uid          BIGINT NOT NULL,
    hash         {{bytes}} NOT NULL,         -- of the content, the same when a server renumbers
    thread       BIGINT NOT NULL,
    round        INTEGER NOT NULL,
    likeness     BIGINT,                     -- hash of sender and normal subject; NULL: without a subject
    seen         BIGINT NOT NULL,
    internal     BIGINT,
    message_id   TEXT NOT NULL,
    sender       TEXT NOT NULL,
    sender_name  TEXT NOT NULL,
    subject      TEXT NOT NULL,
    kind         TEXT NOT NULL,
    reason       TEXT NOT NULL,
    rule         TEXT NOT NULL,
    evidence     TEXT NOT NULL,
    language     TEXT NOT NULL,
    member       BIGINT,
    acknowledged SMALLINT NOT NULL,          -- 1: an acknowledgement was queued with it
    letter       TEXT NOT NULL,              -- the acknowledgement's letter, recipient and Message-ID
    ack_to       TEXT NOT NULL,
    ack_id       TEXT NOT NULL,
    UNIQUE (uidvalidity, mailbox, uid)
);
-- No two of these keys begin alike: without statistics a planner could take the wrong one.
CREATE INDEX arrivals_by_hash ON arrivals (hash, mailbox);
CREATE INDEX arrivals_by_likeness ON arrivals (likeness, mailbox, id) WHERE likeness IS NOT NULL;
CREATE UNIQUE INDEX one_acknowledgement_a_round ON arrivals (thread, round) WHERE acknowledged = 1;

-- The bytes of what could not be understood.
CREATE TABLE quarantine (
    arrival {{key}},
    raw     {{bytes}} NOT NULL
);

-- Message-IDs seen and made, by their hash. An arrival's id may be used again by another (carriers do); ours may not.
CREATE TABLE message_ids (
    mailbox BIGINT NOT NULL,
    id      BIGINT NOT NULL,
    thread  BIGINT NOT NULL,
    arrival BIGINT NOT NULL,                 -- whose id it is, or whose acknowledgement's
    ours    SMALLINT NOT NULL,
    PRIMARY KEY (mailbox, id)
) {{without_rowid}};

-- Messages that a person here has answered, by the hash of their Message-ID.
CREATE TABLE answers (
    mailbox BIGINT NOT NULL,
    id      BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (mailbox, id)
) {{without_rowid}};

CREATE TABLE promises (
    arrival   {{key}},                       -- that opened it
    mailbox   BIGINT NOT NULL,
    thread    BIGINT NOT NULL,
    round     INTEGER NOT NULL,
    promised  BIGINT,                        -- the time by which a person answers; NULL: no basis for a time
    follow_up BIGINT,                        -- then: the date by which we say more
    told      SMALLINT NOT NULL,             -- 0: the writer was not told
    state     SMALLINT NOT NULL,             -- 0 open, 1 kept, 2 late, 3 extended, 4 withdrawn
    ended     BIGINT,
    rule      TEXT NOT NULL,
    alert     TEXT NOT NULL,
    basis     TEXT NOT NULL,
    UNIQUE (thread, round)
);

-- Where each delivery stands. Narrow, because a campaign has one row a member. The states' numbers are outbox.State's.
CREATE TABLE deliveries (
    sending   BIGINT NOT NULL,
    recipient BIGINT NOT NULL,
    state     SMALLINT NOT NULL,
    attempts  SMALLINT NOT NULL,
    doubted   SMALLINT NOT NULL,             -- 1: an attempt ended in doubt
    at        BIGINT NOT NULL,               -- of the latest change
    due       BIGINT,                        -- when it wants attention; NULL: never by time
    claimed   BIGINT,                        -- by which daemon, while it is on the wire
    PRIMARY KEY (sending, recipient)
) {{without_rowid}};
CREATE INDEX deliveries_due ON deliveries (due) WHERE due IS NOT NULL;
CREATE INDEX deliveries_on_the_wire ON deliveries (claimed) WHERE state = 1;

-- What servers said, or what we found.
CREATE TABLE outcomes (
    sending   BIGINT NOT NULL,
    recipient BIGINT NOT NULL,
    code      INTEGER NOT NULL,
    status    TEXT NOT NULL,
    words     TEXT NOT NULL,
    PRIMARY KEY (sending, recipient)
) {{without_rowid}};

-- Finished acknowledgements until they are sent or canceled.
CREATE TABLE letters (
    sending       BIGINT NOT NULL,
    recipient     BIGINT NOT NULL,
    since         BIGINT NOT NULL,           -- its age counts from here: when it could first go out
    stale         BIGINT,                    -- not sent unchanged after this
    envelope_from TEXT NOT NULL,
    address       TEXT NOT NULL,             -- the recipient in lower case
    occasion      {{bytes}},                 -- what it is composed anew from
    bytes         {{bytes}} NOT NULL,
    PRIMARY KEY (sending, recipient)
);

-- How often each fuse was claimed lately: twelve slots and the one under way, ending with slot.
CREATE TABLE fuses (
    key    TEXT NOT NULL PRIMARY KEY,
    slot   BIGINT NOT NULL,
    ends   BIGINT NOT NULL,                  -- when it is as good as new
    counts {{bytes}} NOT NULL
) {{without_rowid}};

-- Senders that answered an acknowledgement faster than people do.
CREATE TABLE robots (
    key    TEXT NOT NULL PRIMARY KEY,
    struck BIGINT NOT NULL,
    muted  BIGINT,                           -- since when; it ends by itself
    why    TEXT NOT NULL
) {{without_rowid}};

CREATE TABLE suppressions (
    address TEXT NOT NULL,                   -- in lower case
    scope   TEXT NOT NULL,
    reason  TEXT NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (address, scope)
) {{without_rowid}};

CREATE TABLE members (
    id               {{id}},
    address          TEXT NOT NULL UNIQUE,   -- email in lower case
    email            TEXT NOT NULL,
    name             TEXT NOT NULL,
    language         TEXT NOT NULL,
    time_zone        TEXT NOT NULL,
    tier             TEXT NOT NULL,
    topics           TEXT NOT NULL,          -- a;b
    format           TEXT NOT NULL,
    acknowledgements TEXT NOT NULL,
    cadence          TEXT NOT NULL,
    preferred_hour   SMALLINT,
    pause_until      BIGINT,
    status           TEXT NOT NULL,
    joined           BIGINT,
    fields           TEXT NOT NULL,          -- JSON: {"orders": 3, "birthday": {"time": "…"}}
    own              TEXT NOT NULL,          -- a;b: the columns that the member set themself
    changed          BIGINT NOT NULL
);

CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value {{bytes}} NOT NULL
);

-- Rows.
INSERT INTO migrations (version, name, at) VALUES (1, '0001_first', 1795395600000);
INSERT INTO sendings (kind, name, created) VALUES ('mailbox', 'support', 1795395600000);
INSERT INTO mailboxes (name, address, sending, started, subaddress, uidvalidity, uid, history) VALUES ('support', 'support@shop.example', 1, 1795395600000, 0, 7, 41, 40);
INSERT INTO members (address, email, name, language, time_zone, tier, topics, format, acknowledgements, cadence, preferred_hour, pause_until, status, joined, fields, own, changed)
    VALUES ('li@example.com', 'li@example.com', 'Li', 'zh', 'Asia/Shanghai', 'gold', 'architecture;news', '', '', '', 9, NULL, 'active', 1714521600000,
    '{"birthday":{"time":"1990-02-03T00:00:00Z"},"visits":12.5}', 'language', 1795395600000);
INSERT INTO threads (mailbox, last, round, acknowledged, promised) VALUES (1, 1795395600000, 1, 1, 1);
INSERT INTO arrivals (mailbox, uidvalidity, uid, hash, thread, round, likeness, seen, internal, message_id, sender, sender_name, subject, kind, reason, rule, evidence,
    language, member, acknowledged, letter, ack_to, ack_id)
    VALUES (1, 7, 42, CAST('0123456789abcdef' AS {{bytes}}), 1, 1, 77, 1795395600000, NULL, '<1@li.example.com>', 'li@example.com', 'Li', '发票', 'person', 'new-thread', '', '',
    'zh', 1, 1, 'acknowledgement', 'li@example.com', '<ack@shop.example>');
INSERT INTO message_ids (mailbox, id, thread, arrival, ours) VALUES (1, 1440159025528799167, 1, 1, 0);
INSERT INTO promises (arrival, mailbox, thread, round, promised, follow_up, told, state, ended, rule, alert, basis)
    VALUES (1, 1, 1, 1, 1795424400000, NULL, 1, 0, NULL, 'gold', 'owner@shop.example', 'respond_within 8h');
INSERT INTO deliveries (sending, recipient, state, attempts, doubted, at, due, claimed) VALUES (1, 1, 0, 0, 0, 1795395600000, 1795395600000, NULL);
INSERT INTO letters (sending, recipient, since, stale, envelope_from, address, occasion, bytes)
    VALUES (1, 1, 1795395600000, 1795424400000, 'support@shop.example', 'li@example.com', NULL, CAST('letter' AS {{bytes}}));
INSERT INTO suppressions (address, scope, reason, at) VALUES ('dead@example.com', 'dead', '550 5.1.1', 1795395600000);
