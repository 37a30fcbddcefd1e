-- SPDX-License-Identifier: PostgreSQL
--
-- app/sql/roles.sql
--	Whom the application's database knows, and the extension. Roles belong to the whole cluster.

CREATE EXTENSION IF NOT EXISTS realtime;

-- What tokens name; nobody logs in as these.
CREATE ROLE web NOLOGIN;
CREATE ROLE web_user NOLOGIN;
CREATE ROLE web_admin NOLOGIN;

-- The API and the notifier may act for them.
CREATE ROLE api LOGIN NOINHERIT;
CREATE ROLE live LOGIN;
GRANT web_user, web_admin TO api;
GRANT realtime_notifier, web, web_user, web_admin TO live;
