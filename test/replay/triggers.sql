-- SPDX-License-Identifier: PostgreSQL
--
-- triggers.sql
--	A schema whose AFTER triggers write the row they were called for and rows that the same
--	statement has yet to report: captures come out of order, events must not.

CREATE TABLE grp (
	g integer PRIMARY KEY,
	total bigint NOT NULL DEFAULT 0,
	closed bigint NOT NULL DEFAULT 0
);

CREATE TABLE item (
	id bigint PRIMARY KEY,
	g integer NOT NULL REFERENCES grp,
	step integer NOT NULL DEFAULT 0,
	n bigint NOT NULL DEFAULT 0,
	price numeric(20, 4),
	doc text,
	tags text[],
	twice bigint GENERATED ALWAYS AS (n * 2) STORED
);
CREATE INDEX item_g ON item (g);
-- Large texts live out of line and are not repeated by events that did not change them.
ALTER TABLE item ALTER COLUMN doc SET STORAGE EXTERNAL;

CREATE TABLE part (
	item bigint NOT NULL REFERENCES item ON UPDATE CASCADE ON DELETE CASCADE,
	no integer NOT NULL,
	label text,
	PRIMARY KEY (item, no)
);

CREATE SEQUENCE item_id START 100000;

-- Two levels of recursion on the same row; fires before realtime_capture (by name).
CREATE FUNCTION recurse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.step < 2 THEN
		UPDATE item SET step = NEW.step + 1, n = n + 10 WHERE id = NEW.id;
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER a_recurse AFTER UPDATE ON item FOR EACH ROW EXECUTE FUNCTION recurse();

-- Writes later rows of the statement, the group and the parts; fires after realtime_capture.
CREATE FUNCTION spread() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE item SET n = n + 1, step = 2
	WHERE g = NEW.g AND id > NEW.id AND id IN (
		SELECT id FROM item WHERE g = NEW.g AND id > NEW.id ORDER BY id LIMIT 2);
	UPDATE grp SET total = total + 1 WHERE g = NEW.g;
	INSERT INTO part (item, no, label) VALUES (NEW.id, NEW.n % 5, 'by ' || NEW.step)
	ON CONFLICT (item, no) DO UPDATE SET label = excluded.label || ' again';
	RETURN NULL;
END
$$;
CREATE TRIGGER z_spread AFTER UPDATE ON item FOR EACH ROW
	WHEN (pg_trigger_depth() < 1) EXECUTE FUNCTION spread();

-- Runs when the transaction commits, just before the events are written.
CREATE FUNCTION close() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE grp SET closed = total WHERE g = coalesce(NEW.g, OLD.g);
	RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER close AFTER INSERT OR UPDATE OR DELETE ON item
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION close();

-- A part of the work is undone by an exception block, another one within it stays.
CREATE FUNCTION half_fail(p_g integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		UPDATE item SET step = 1, n = n + 7 WHERE g = p_g;
		BEGIN
			DELETE FROM item WHERE g = p_g;
			RAISE division_by_zero;
		EXCEPTION WHEN division_by_zero THEN
			UPDATE item SET step = 2, n = n + 100 WHERE g = p_g;
		END;
		IF p_g % 2 = 0 THEN
			RAISE division_by_zero;
		END IF;
	EXCEPTION WHEN division_by_zero THEN
		UPDATE item SET step = 0 WHERE g = p_g AND step = 2 AND id % 2 = 0;
	END;
END
$$;

INSERT INTO grp (g) SELECT generate_series(1, 20);
INSERT INTO item (id, g, step, price, doc, tags)
SELECT i, 1 + i % 20, 2, i * 1.25, repeat(md5(i::text), 150), ARRAY['t' || i, NULL]
FROM generate_series(1, 160) i;
INSERT INTO part SELECT id, 0, 'first' FROM item;
