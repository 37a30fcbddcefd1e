-- DDL that row triggers do not see: markers, triggers of new members, refusals.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS realtime;
RESET client_min_messages;
SET search_path = public;

-- What was logged since the last call, in order.
CREATE TABLE ddl_last (tx xid8 NOT NULL);
INSERT INTO ddl_last VALUES (pg_current_xact_id());
CREATE FUNCTION ddl_events() RETURNS TABLE (entity text, action text, id text, data json)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
	RETURN QUERY SELECT e.entity, e.action, e.id, e.event -> 'data' FROM realtime.event e
		WHERE e.feature = 'ddl' AND e.tx > (SELECT tx FROM ddl_last);
	UPDATE ddl_last SET tx = pg_current_xact_id();
END
$$;
-- Our triggers, with their state.
CREATE VIEW ddl_triggers AS
SELECT tgrelid::regclass::text COLLATE "C" AS relation, tgname AS trigger, tgenabled AS state
FROM pg_trigger WHERE tgname LIKE 'realtime\_%' AND tgrelid::regclass::text LIKE '%ddl\_%'
ORDER BY 1, 2;

--
-- Columns
--
CREATE TABLE ddl_plain (id int PRIMARY KEY, name text, amount int, status text DEFAULT 'new',
	twice int GENERATED ALWAYS AS (amount * 2) STORED);
SELECT realtime.enable('ddl_plain', 'ddl', 'plain');
INSERT INTO ddl_plain VALUES (1, 'a', 1);
-- registering alone is no marker
SELECT * FROM ddl_events();
ALTER TABLE ddl_plain ADD COLUMN note text DEFAULT 'x';
SELECT * FROM ddl_events();
ALTER TABLE ddl_plain ALTER COLUMN note TYPE varchar(10);
SELECT * FROM ddl_events();
ALTER TABLE ddl_plain ALTER COLUMN twice DROP EXPRESSION;
SELECT * FROM ddl_events();
ALTER TABLE ddl_plain DROP COLUMN note;
SELECT * FROM ddl_events();
-- one marker per relation and transaction, beside the rows
BEGIN;
INSERT INTO ddl_plain VALUES (2, 'b', 2);
ALTER TABLE ddl_plain ADD COLUMN a int, ADD COLUMN b int;
ALTER TABLE ddl_plain DROP COLUMN a, DROP COLUMN b;
INSERT INTO ddl_plain VALUES (3, 'c', 3);
COMMIT;
SELECT * FROM ddl_events();
-- what is rolled back did not happen
BEGIN;
ALTER TABLE ddl_plain ADD COLUMN a int;
ROLLBACK;
BEGIN;
SAVEPOINT s;
ALTER TABLE ddl_plain ADD COLUMN a int;
ROLLBACK TO s;
UPDATE ddl_plain SET amount = 4 WHERE id = 3;
COMMIT;
SELECT * FROM ddl_events();
BEGIN;
SAVEPOINT s;
ALTER TABLE ddl_plain ADD COLUMN a int;
ROLLBACK TO s;
ALTER TABLE ddl_plain ADD COLUMN a int;
COMMIT;
SELECT * FROM ddl_events();
-- changes that readers do not notice
ALTER TABLE ddl_plain ALTER COLUMN amount SET DEFAULT 7;
ALTER TABLE ddl_plain ALTER COLUMN amount SET STATISTICS 10;
ALTER TABLE ddl_plain ADD CONSTRAINT positive CHECK (amount > 0);
ALTER TABLE ddl_plain ENABLE ROW LEVEL SECURITY;
ALTER TABLE ddl_plain DISABLE ROW LEVEL SECURITY;
ALTER TABLE ddl_plain SET (fillfactor = 70);
ALTER TABLE ddl_plain SET UNLOGGED;
ALTER TABLE ddl_plain SET LOGGED;
ALTER TABLE ddl_plain REPLICA IDENTITY FULL;
CREATE INDEX ddl_plain_name ON ddl_plain (name);
DROP INDEX CONCURRENTLY ddl_plain_name;
VACUUM FULL ddl_plain;
ALTER TABLE IF EXISTS ddl_nothing ADD COLUMN a int;
ALTER TABLE ddl_plain RENAME TO ddl_renamed;
CREATE SCHEMA ddl_schema;
ALTER TABLE ddl_renamed SET SCHEMA ddl_schema;
ALTER TABLE ddl_schema.ddl_renamed SET SCHEMA public;
ALTER TABLE ddl_renamed RENAME TO ddl_plain;
UPDATE ddl_plain SET a = 1 WHERE id = 1;
SELECT * FROM ddl_events();
-- statements planned before
PREPARE ddl_insert AS INSERT INTO ddl_plain (id, amount) VALUES ($1, $2);
PREPARE ddl_update AS UPDATE ddl_plain SET amount = amount + 1 WHERE id = $1;
EXECUTE ddl_insert(4, 4);
EXECUTE ddl_update(4);
ALTER TABLE ddl_plain DROP COLUMN name, ADD COLUMN added text DEFAULT 'new';
EXECUTE ddl_insert(5, 5);
EXECUTE ddl_update(4);
ALTER TABLE ddl_plain ALTER COLUMN amount TYPE bigint;
EXECUTE ddl_insert(6, 6);
EXECUTE ddl_update(4);
SELECT * FROM ddl_events();
DEALLOCATE ALL;

--
-- Triggers
--
CREATE TRIGGER other BEFORE INSERT ON ddl_plain FOR EACH ROW
	EXECUTE FUNCTION suppress_redundant_updates_trigger();
ALTER TABLE ddl_plain DISABLE TRIGGER other;
ALTER TABLE ddl_plain ENABLE TRIGGER other;
DROP TRIGGER other ON ddl_plain;
SELECT * FROM ddl_events();
ALTER TABLE ddl_plain DISABLE TRIGGER realtime_capture;
UPDATE ddl_plain SET status = 'unseen' WHERE id = 1;
SELECT * FROM ddl_events();
ALTER TABLE ddl_plain ENABLE TRIGGER realtime_capture;
SELECT * FROM ddl_events();
ALTER TABLE ddl_plain DISABLE TRIGGER ALL;
SELECT * FROM ddl_events();
ALTER TABLE ddl_plain ENABLE TRIGGER ALL;
SELECT * FROM ddl_events();
ALTER TABLE ddl_plain DISABLE TRIGGER USER;
SELECT * FROM ddl_events();
ALTER TABLE ddl_plain ENABLE TRIGGER USER;
SELECT * FROM ddl_events();
ALTER TABLE ddl_plain DISABLE TRIGGER realtime_truncate;
SELECT * FROM ddl_events();
ALTER TABLE ddl_plain ENABLE TRIGGER realtime_truncate;
SELECT * FROM ddl_events();
ALTER TABLE ddl_plain ENABLE REPLICA TRIGGER realtime_capture;
SELECT * FROM ddl_events();
ALTER TABLE ddl_plain ENABLE ALWAYS TRIGGER realtime_capture;
SELECT * FROM ddl_events();
ALTER TRIGGER realtime_capture ON ddl_plain RENAME TO mine;
DROP TRIGGER realtime_capture ON ddl_plain;
SELECT * FROM ddl_events();
-- registering again gives it back, with a marker: what changed meanwhile was not seen; unregistering
-- takes it without one
SELECT realtime.enable('ddl_plain', 'ddl', 'plain');
SELECT * FROM ddl_triggers;
SELECT realtime.disable('ddl_plain');
SELECT * FROM ddl_triggers;
ALTER TABLE ddl_plain ADD COLUMN unseen int;
ALTER TABLE ddl_plain DISABLE TRIGGER ALL;
ALTER TABLE ddl_plain ENABLE TRIGGER ALL;
SELECT * FROM ddl_events();
DROP TABLE ddl_plain;
SELECT * FROM ddl_events();

--
-- A registration must fit its table
--
CREATE TABLE ddl_fit (id int PRIMARY KEY, status text, price int, stock int, secret text, free text);
SELECT realtime.enable('ddl_fit', 'ddl', 'fit', status_column => 'status',
	columns => '{id,status,price,stock}', exclude => '{secret}');
SELECT realtime.define_event('ddl_fit', 'priced', columns => '{price}');
SELECT realtime.define_event('ddl_fit', 'empty', condition => 'NEW.stock = 0');
SELECT realtime.define_event('ddl_fit', 'approved', status => 'approved');
ALTER TABLE ddl_fit DROP COLUMN id;
ALTER TABLE ddl_fit DROP COLUMN status;
ALTER TABLE ddl_fit DROP COLUMN price;
ALTER TABLE ddl_fit DROP COLUMN stock;
ALTER TABLE ddl_fit RENAME COLUMN stock TO in_stock;
ALTER TABLE ddl_fit ALTER COLUMN stock TYPE jsonb USING to_jsonb(stock);
-- nothing of that was done
SELECT * FROM ddl_events();
ALTER TABLE ddl_fit DROP COLUMN free;
SELECT * FROM ddl_events();
-- dropped and made anew in one command, the column is there
ALTER TABLE ddl_fit DROP COLUMN price, ADD COLUMN price numeric;
INSERT INTO ddl_fit VALUES (1, 'new', 5, 's', 9.5);
UPDATE ddl_fit SET price = 10, stock = 0;
SELECT * FROM ddl_events();
-- renaming follows
ALTER TABLE ddl_fit RENAME COLUMN id TO number;
ALTER TABLE ddl_fit RENAME status TO state;
ALTER TABLE ddl_fit RENAME COLUMN price TO "the ""price""";
ALTER TABLE ddl_fit RENAME COLUMN secret TO hidden;
SELECT key, status_column, columns, exclude, events FROM realtime.entities
WHERE feature = 'ddl' AND entity = 'fit';
UPDATE ddl_fit SET state = 'approved', "the ""price""" = 11, hidden = 'still';
SELECT * FROM ddl_events();
-- the other way round
SELECT realtime.drop_event('ddl_fit', 'empty');
ALTER TABLE ddl_fit RENAME COLUMN stock TO in_stock;
SELECT realtime.define_event('ddl_fit', 'empty', condition => 'NEW.in_stock = 0');
UPDATE ddl_fit SET in_stock = 1;
UPDATE ddl_fit SET in_stock = 0;
SELECT * FROM ddl_events();
-- in one transaction with changes of before and after
BEGIN;
UPDATE ddl_fit SET in_stock = 2;
ALTER TABLE ddl_fit RENAME COLUMN number TO id;
UPDATE ddl_fit SET in_stock = 3;
COMMIT;
SELECT * FROM ddl_events();
-- dropped in the transaction of its last change; its name is free again at once
BEGIN;
UPDATE ddl_fit SET in_stock = 4;
DROP TABLE ddl_fit;
CREATE TABLE ddl_fit (id int PRIMARY KEY);
SELECT realtime.enable('ddl_fit', 'ddl', 'fit');
INSERT INTO ddl_fit VALUES (1);
COMMIT;
SELECT * FROM ddl_events();
BEGIN;
SAVEPOINT s;
DROP TABLE ddl_fit;
ROLLBACK TO s;
INSERT INTO ddl_fit VALUES (2);
COMMIT;
SELECT * FROM ddl_events();
DROP TABLE ddl_fit;
SELECT * FROM ddl_events();
SELECT count(*) FROM realtime.entities WHERE feature = 'ddl';

--
-- Partitions
--
CREATE TABLE ddl_old (id int NOT NULL, region text NOT NULL, v int);
CREATE TABLE ddl_part (id int, region text, v int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE ddl_part_a PARTITION OF ddl_part FOR VALUES IN ('a');
SELECT realtime.enable('ddl_part', 'ddl', 'part');
-- a new partition, one of partitions, one in a new schema
CREATE TABLE ddl_part_b PARTITION OF ddl_part FOR VALUES IN ('b');
CREATE TABLE ddl_part_c PARTITION OF ddl_part FOR VALUES IN ('c') PARTITION BY RANGE (id);
CREATE TABLE ddl_part_c1 PARTITION OF ddl_part_c FOR VALUES FROM (1) TO (100);
CREATE SCHEMA ddl_schema2
	CREATE TABLE ddl_part_d PARTITION OF public.ddl_part FOR VALUES IN ('d')
	CREATE TABLE unrelated (i int);
CREATE TABLE IF NOT EXISTS ddl_part_b PARTITION OF ddl_part FOR VALUES IN ('b');
SELECT * FROM ddl_triggers;
SELECT * FROM ddl_events();
INSERT INTO ddl_part VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3), (4, 'd', 4);
INSERT INTO ddl_part_b VALUES (5, 'b', 5);
UPDATE ddl_part SET region = 'c' WHERE id = 1;
DELETE FROM ddl_part_c1 WHERE id = 3;
SELECT * FROM ddl_events();
-- attached and detached
INSERT INTO ddl_old VALUES (10, 'e', 10);
SELECT * FROM ddl_events();
ALTER TABLE ddl_part ATTACH PARTITION ddl_old FOR VALUES IN ('e');
UPDATE ddl_old SET v = 11;
SELECT * FROM ddl_events();
SELECT * FROM ddl_triggers WHERE relation = 'ddl_old';
ALTER TABLE ddl_part DETACH PARTITION ddl_old;
SELECT * FROM ddl_events();
SELECT * FROM ddl_triggers WHERE relation = 'ddl_old';
UPDATE ddl_old SET v = 12;
TRUNCATE ddl_old;
SELECT * FROM ddl_events();
ALTER TABLE ddl_part DETACH PARTITION ddl_part_b CONCURRENTLY;
SELECT * FROM ddl_events();
SELECT * FROM ddl_triggers WHERE relation = 'ddl_part_b';
ALTER TABLE ddl_part DETACH PARTITION ddl_part_c;
SELECT * FROM ddl_events();
SELECT * FROM ddl_triggers WHERE relation LIKE 'ddl_part_c%';
ALTER TABLE ddl_part ATTACH PARTITION ddl_part_c FOR VALUES IN ('c');
SELECT * FROM ddl_events();
SELECT * FROM ddl_triggers WHERE relation LIKE 'ddl_part_c%';
UPDATE ddl_part_c1 SET v = 20;
SELECT * FROM ddl_events();
-- a table that is registered itself keeps its name: it cannot be attached
SELECT realtime.enable('ddl_part_b', 'ddl', 'alone', key => '{id,region}');
ALTER TABLE ddl_part ATTACH PARTITION ddl_part_b FOR VALUES IN ('b');
SELECT realtime.disable('ddl_part_b');
-- indexes have partitions too
CREATE INDEX ddl_part_v ON ONLY ddl_part (v);
CREATE INDEX ddl_part_a_v ON ddl_part_a (v);
ALTER INDEX ddl_part_v ATTACH PARTITION ddl_part_a_v;
ALTER TABLE ddl_part_a DISABLE TRIGGER realtime_capture;
SELECT * FROM ddl_events();
ALTER TABLE ddl_part_a ENABLE TRIGGER realtime_capture;
SELECT * FROM ddl_events();
ALTER TABLE ddl_part ADD COLUMN w int;
SELECT * FROM ddl_events();
ALTER TABLE ddl_part RENAME COLUMN v TO value;
ALTER TABLE ddl_part RENAME COLUMN region TO place;
UPDATE ddl_part SET value = 30, w = 1 WHERE place = 'c';
SELECT * FROM ddl_events();
-- a part is dropped
DROP TABLE ddl_part_a;
SELECT * FROM ddl_events();
SET client_min_messages = warning;
DROP SCHEMA ddl_schema2 CASCADE;
RESET client_min_messages;
SELECT * FROM ddl_events();
DROP TABLE ddl_part_c1;
SELECT * FROM ddl_events();
-- foreign partitions come and go
CREATE FOREIGN DATA WRAPPER ddl_fdw;
CREATE SERVER ddl_server FOREIGN DATA WRAPPER ddl_fdw;
DROP INDEX ddl_part_v;
SELECT realtime.disable('ddl_part');
ALTER TABLE ddl_part DROP CONSTRAINT ddl_part_pkey;
SELECT realtime.enable('ddl_part', 'ddl', 'part', key => '{id,place}');
CREATE FOREIGN TABLE ddl_part_f PARTITION OF ddl_part FOR VALUES IN ('f') SERVER ddl_server;
SELECT * FROM ddl_triggers WHERE relation = 'ddl_part_f';
ALTER TABLE ddl_part DETACH PARTITION ddl_part_f;
SELECT * FROM ddl_triggers WHERE relation = 'ddl_part_f';
SELECT * FROM ddl_events();
ALTER TABLE ddl_part ATTACH PARTITION ddl_part_f FOR VALUES IN ('f');
SELECT * FROM ddl_events();
SET client_min_messages = warning;
DROP FOREIGN DATA WRAPPER ddl_fdw CASCADE;
RESET client_min_messages;
SELECT * FROM ddl_events();
-- all of it at once
BEGIN;
DROP TABLE ddl_part;
SELECT count(*) FROM realtime.entities WHERE feature = 'ddl';
ROLLBACK;
SELECT count(*) FROM realtime.entities WHERE feature = 'ddl';
DROP TABLE ddl_part;
SELECT * FROM ddl_events();
-- a partition that is older than its table
CREATE TABLE ddl_tree (LIKE ddl_old) PARTITION BY LIST (region);
ALTER TABLE ddl_tree ATTACH PARTITION ddl_old FOR VALUES IN ('e');
SELECT realtime.enable('ddl_tree', 'ddl', 'tree', key => '{id}');
INSERT INTO ddl_tree VALUES (1, 'e', 1);
SELECT * FROM ddl_events();
-- a root that lost its trigger gets it back with the next partition
DROP TRIGGER realtime_capture ON ddl_tree;
CREATE TABLE ddl_tree_a PARTITION OF ddl_tree FOR VALUES IN ('a');
INSERT INTO ddl_tree VALUES (2, 'a', 2), (3, 'e', 3);
SELECT * FROM ddl_triggers;
SELECT * FROM ddl_events();
DROP TABLE ddl_tree;
SELECT * FROM ddl_events();
-- dropped by what its key needs
CREATE FUNCTION ddl_half(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 / 2';
CREATE TABLE ddl_half_tree (id int, v int) PARTITION BY LIST (ddl_half(id));
CREATE TABLE ddl_half_1 PARTITION OF ddl_half_tree FOR VALUES IN (1);
SELECT realtime.enable('ddl_half_tree', 'ddl', 'half', key => '{id}');
SET client_min_messages = warning;
DROP FUNCTION ddl_half CASCADE;
RESET client_min_messages;
SELECT * FROM ddl_events();

--
-- Inheritance
--
CREATE TABLE ddl_top (id int PRIMARY KEY, v int);
CREATE TABLE ddl_middle () INHERITS (ddl_top);
CREATE TABLE ddl_bottom (extra int) INHERITS (ddl_middle);
CREATE TABLE ddl_stray (extra int, v int, id int);
INSERT INTO ddl_stray VALUES (0, 1, 1);
SELECT realtime.enable('ddl_top', 'ddl', 'top');
CREATE TABLE ddl_leaf () INHERITS (ddl_bottom);
SELECT * FROM ddl_triggers;
INSERT INTO ddl_leaf VALUES (2, 2, 0);
ALTER TABLE ddl_stray ALTER COLUMN id SET NOT NULL;
ALTER TABLE ddl_stray INHERIT ddl_top;
SELECT * FROM ddl_events();
UPDATE ddl_top SET v = v + 10;
SELECT * FROM ddl_events();
ALTER TABLE ddl_stray NO INHERIT ddl_top;
SELECT * FROM ddl_events();
ALTER TABLE ddl_bottom NO INHERIT ddl_middle;
SELECT * FROM ddl_events();
SELECT * FROM ddl_triggers;
UPDATE ddl_stray SET v = 0;
UPDATE ddl_leaf SET v = 0;
SELECT * FROM ddl_events();
-- a child with two parents, one of which it leaves; a child that is registered itself
CREATE TABLE ddl_top2 (id int PRIMARY KEY);
SELECT realtime.enable('ddl_top2', 'ddl', 'top2');
CREATE TABLE ddl_both () INHERITS (ddl_top, ddl_top2);
ALTER TABLE ddl_both NO INHERIT ddl_top;
SELECT * FROM ddl_events();
INSERT INTO ddl_both VALUES (3, 3);
SELECT * FROM ddl_events();
SELECT realtime.enable('ddl_both', 'ddl', 'both', key => '{id}');
ALTER TABLE ddl_both NO INHERIT ddl_top2;
SELECT * FROM ddl_events();
SELECT * FROM ddl_triggers WHERE relation = 'ddl_both';
UPDATE ddl_both SET v = 4;
SELECT * FROM ddl_events();
-- a command on a parent that is not registered reaches a registered child
CREATE TABLE ddl_above (id int NOT NULL, name text);
CREATE TABLE ddl_below (PRIMARY KEY (id)) INHERITS (ddl_above);
SELECT realtime.enable('ddl_below', 'ddl', 'below', columns => '{name}');
ALTER TABLE ddl_above RENAME COLUMN name TO title;
SELECT * FROM ddl_events();
SELECT columns FROM realtime.entities WHERE feature = 'ddl' AND entity = 'below';
ALTER TABLE ddl_above DROP COLUMN title;
ALTER TABLE ONLY ddl_above DROP COLUMN title;
SELECT * FROM ddl_events();
-- a child's own column is not its parent's; a dropped child
ALTER TABLE ddl_middle ADD COLUMN own int;
ALTER TABLE ddl_middle RENAME COLUMN own TO mine;
DROP TABLE ddl_middle;
SELECT * FROM ddl_events();
DROP TABLE ddl_leaf, ddl_bottom, ddl_stray;
SELECT * FROM ddl_events();
-- a child that is registered itself and part of a registered table
CREATE TABLE ddl_child (PRIMARY KEY (id)) INHERITS (ddl_top);
SELECT realtime.enable('ddl_child', 'ddl', 'child');
INSERT INTO ddl_child VALUES (7, 7);
DROP TABLE ddl_child;
SELECT * FROM ddl_events();
SET client_min_messages = warning;
DROP TABLE ddl_top, ddl_top2, ddl_both, ddl_above CASCADE;
RESET client_min_messages;
SELECT * FROM ddl_events() ORDER BY entity;

--
-- Types
--
CREATE TYPE ddl_state AS ENUM ('draft', 'done');
CREATE DOMAIN ddl_state_domain AS ddl_state;
CREATE TYPE ddl_pair AS (a int, s ddl_state_domain);
CREATE TYPE ddl_row AS (id int, name text);
CREATE TABLE ddl_enum (id int PRIMARY KEY, state ddl_state);
CREATE TABLE ddl_pairs (id int PRIMARY KEY, pairs ddl_pair[]);
CREATE TABLE ddl_typed OF ddl_row (PRIMARY KEY (id));
SELECT realtime.enable('ddl_enum', 'ddl', 'enum');
SELECT realtime.enable('ddl_pairs', 'ddl', 'pairs');
SELECT realtime.enable('ddl_typed', 'ddl', 'typed', columns => '{name}');
ALTER TYPE ddl_state ADD VALUE 'more';
SELECT * FROM ddl_events();
ALTER TYPE ddl_state RENAME VALUE 'done' TO 'finished';
SELECT * FROM ddl_events();
ALTER TYPE ddl_pair ADD ATTRIBUTE c int;
SELECT * FROM ddl_events();
ALTER TYPE ddl_pair RENAME ATTRIBUTE c TO d;
INSERT INTO ddl_pairs VALUES (1, ARRAY[(1, 'finished', 2)::ddl_pair]);
SELECT * FROM ddl_events();
ALTER TYPE ddl_row RENAME ATTRIBUTE name TO title CASCADE;
ALTER TYPE ddl_row ADD ATTRIBUTE more int CASCADE;
INSERT INTO ddl_typed VALUES (1, 'x', 2);
SELECT * FROM ddl_events();
ALTER TYPE ddl_row DROP ATTRIBUTE id CASCADE;
-- a condition that names a label
SELECT realtime.define_event('ddl_enum', 'finished', condition => $$NEW.state = 'finished'$$);
ALTER TYPE ddl_state RENAME VALUE 'finished' TO 'done';
SELECT * FROM ddl_events();
-- columns and tables go with their types
SET client_min_messages = warning;
DROP TYPE ddl_pair CASCADE;
SELECT * FROM ddl_events();
DROP TYPE ddl_row CASCADE;
RESET client_min_messages;
SELECT * FROM ddl_events();
DROP TABLE ddl_enum, ddl_pairs;
SELECT * FROM ddl_events() ORDER BY entity;
DROP TYPE ddl_state CASCADE;

--
-- Others' tables, temporary tables, tables that nobody registered
--
CREATE ROLE regress_ddl_owner;
GRANT CREATE ON SCHEMA ddl_schema TO regress_ddl_owner;
GRANT USAGE ON SCHEMA ddl_schema TO regress_ddl_owner;
SET ROLE regress_ddl_owner;
SET search_path = ddl_schema;
CREATE TABLE ddl_owned (id int PRIMARY KEY, name text, region text);
CREATE TABLE ddl_parts (id int, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
SELECT realtime.enable('ddl_owned', 'ddl', 'owned');
SELECT realtime.enable('ddl_parts', 'ddl', 'parts');
CREATE TABLE ddl_parts_a PARTITION OF ddl_parts FOR VALUES IN ('a');
CREATE TABLE ddl_parts_b (id int NOT NULL, region text NOT NULL);
ALTER TABLE ddl_parts ATTACH PARTITION ddl_parts_b FOR VALUES IN ('b');
ALTER TABLE ddl_parts DETACH PARTITION ddl_parts_a;
ALTER TABLE ddl_owned ADD COLUMN x int;
ALTER TABLE ddl_owned RENAME COLUMN id TO number;
ALTER TABLE ddl_owned DROP COLUMN number;
INSERT INTO ddl_owned VALUES (1);
INSERT INTO ddl_parts VALUES (1, 'b');
ALTER TABLE ddl_owned DISABLE TRIGGER realtime_capture;
DROP TABLE ddl_parts_b;
SELECT count(*) FROM realtime.registration;
RESET ROLE;
SELECT * FROM public.ddl_events();
SELECT * FROM public.ddl_triggers;
SET client_min_messages = warning;
DROP OWNED BY regress_ddl_owner CASCADE;
RESET client_min_messages;
SELECT * FROM public.ddl_events() ORDER BY entity;
SELECT count(*) FROM realtime.entities WHERE feature = 'ddl';
DROP ROLE regress_ddl_owner;
SET search_path = public;
CREATE TABLE ddl_schema.ddl_one (id int PRIMARY KEY);
CREATE TABLE ddl_schema.ddl_two (id int PRIMARY KEY);
SELECT realtime.enable('ddl_schema.ddl_one', 'ddl', 'one');
SELECT realtime.enable('ddl_schema.ddl_two', 'ddl', 'two');
CREATE TABLE ddl_child () INHERITS (ddl_schema.ddl_one);
SET client_min_messages = warning;
DROP SCHEMA ddl_schema CASCADE;
RESET client_min_messages;
SELECT * FROM ddl_events() ORDER BY entity;

CREATE TABLE ddl_base (id int PRIMARY KEY, v int);
SELECT realtime.enable('ddl_base', 'ddl', 'base');
CREATE TEMP TABLE ddl_temp (id int PRIMARY KEY, v int);
ALTER TABLE ddl_temp ADD COLUMN w int;
ALTER TABLE ddl_temp DROP COLUMN w;
ALTER TABLE ddl_temp DISABLE TRIGGER ALL;
ALTER TABLE ddl_temp INHERIT ddl_base;
INSERT INTO ddl_temp VALUES (1, 1);
ALTER TABLE ddl_temp NO INHERIT ddl_base;
DROP TABLE ddl_temp;
CREATE TEMP TABLE ddl_temp () INHERITS (ddl_base);
DROP TABLE ddl_temp;
CREATE TEMP TABLE ddl_base (id int);
ALTER TABLE ddl_base ADD COLUMN v int;
DROP TABLE ddl_base;
SELECT * FROM ddl_events();
CREATE TABLE ddl_other (id int PRIMARY KEY, v int);
ALTER TABLE ddl_other ADD COLUMN w int;
ALTER TABLE ddl_other RENAME COLUMN w TO x;
ALTER TABLE ddl_other DISABLE TRIGGER ALL;
CREATE TABLE ddl_other_child () INHERITS (ddl_other);
ALTER TABLE ddl_other_child NO INHERIT ddl_other;
DROP TABLE ddl_other_child;
DROP TABLE ddl_other;
SELECT * FROM ddl_events();

DROP TABLE ddl_base;
DROP VIEW ddl_triggers;
DROP FUNCTION ddl_events();
DROP TABLE ddl_last;
