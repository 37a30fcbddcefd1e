/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * policy.h
 *	  Row-level security on row images: what the modules policy*.c share.
 *
 * Model
 * 1. A reader is a role and claims. Everything of a policy runs as the reader, never with the rights
 *	  of the session's own user: policy_reader.c.
 * 2. policy_quals.c says which policies apply to a role, and their expression: what PostgreSQL would
 *	  add to a query of the role, Vars of the relation having varno 1.
 * 3. policy_inspect.c says what an expression depends on besides the row: claims, time, relations.
 * 4. policy_compute.c computes what depends on the reader alone, policy_compile.c turns the rest into
 *	  a filter of terms (policy_term.c), exactly or as a necessary condition.
 * 5. policy_plan.c has the executor decide on rows, which policy_image.c makes out of images.
 *
 * The SQL functions are in policy.c and policy_visible.c.
 */
#ifndef REALTIME_POLICY_H
#define REALTIME_POLICY_H

#include "access/tupdesc.h"
#include "nodes/bitmapset.h"
#include "nodes/pg_list.h"
#include "nodes/primnodes.h"
#include "utils/relcache.h"
#include "utils/tuplestore.h"

#include "json.h"

/* The settings that tell policies the claims: the whole object, and one setting for each member. */
#define POLICY_CLAIMS_SETTING "request.jwt.claims"
#define POLICY_CLAIM_PREFIX "request.jwt.claim."

/* ---------- policy.c ---------- */

/* Opens the table that a SQL function is asked about; it stays locked until the transaction ends. */
extern Relation realtime_policy_relation(Oid relid);

/* The role that a SQL function is asked about: whoever may not become it may not ask. */
extern Oid	realtime_policy_role(const char *name);

/* ---------- policy_reader.c ---------- */

/* Who reads, while it is in force. On error the (sub)transaction's abort ends it. */
typedef struct RealtimeReader
{
	Oid			role;
	int			guc_level;
	int			sec_context;	/* of before */
} RealtimeReader;

/* A top-level member of claims: its value as text, as json_each_text() has it. */
typedef struct RealtimeClaim
{
	char	   *name;
	char	   *value;			/* NULL: null */
} RealtimeClaim;

/* The members of claims, a List of RealtimeClaim; an error unless the text is a JSON object. */
extern List *realtime_claims_parse(const char *claims);

/*
 * Takes on a role as SET LOCAL ROLE does (error 42501 when the session may not), row_security on, and
 * sets request.jwt.claims and request.jwt.claim.<name> for the names given (C strings), or for every
 * claim when is_all. What is run then cannot take on another role.
 */
extern void realtime_reader_enter(RealtimeReader *reader, Oid role, const char *claims,
								  const List *names, bool is_all);
/* Those of the names (C strings) whose request.jwt.claim.<name> policies must see as null; borrows them. */
extern List *realtime_reader_absent(const char *claims, const List *names);
/* Makes everything as it was, whatever was set meanwhile. */
extern void realtime_reader_leave(RealtimeReader *reader);

/* Registers the callback of realtime.become(). */
extern void realtime_reader_init(void);

/* ---------- policy_quals.c ---------- */

typedef enum RealtimeRls
{
	REALTIME_RLS_ALL,			/* no row-level security for this role */
	REALTIME_RLS_NONE,			/* no permissive policy applies: no row */
	REALTIME_RLS_SOME
} RealtimeRls;

/*
 * Which policies apply to a role that selects from a relation. *names becomes the names of them, in
 * the current context: the same names are the same policies until the relation is invalidated.
 */
extern RealtimeRls realtime_policy_find(Relation relation, Oid role, char **names);

/* The expression of these policies, a copy; a row is visible if and only if it is true. */
extern Node *realtime_policy_qual(Relation relation, Oid role);

/* The columns that an expression reads, sub-selects included: attribute numbers. */
extern Bitmapset *realtime_policy_columns(Node *qual, TupleDesc desc);

/* ---------- policy_inspect.c ---------- */

/* What an expression depends on besides its row and the role. Lists grow in the current context. */
typedef struct RealtimeTraits
{
	List	   *reads;			/* Oids of relations */
	List	   *claims;			/* names of top-level claims */
	List	   *settings;		/* those of them read as request.jwt.claim.<name> */
	List	   *opaque;			/* Oids of functions that cannot be looked into */
	bool		is_all_claims;	/* which claims cannot be told */
	bool		is_all_settings;	/* which of them as settings cannot be told */
	bool		is_frozen;		/* a function that depends on them is IMMUTABLE: planned, it is a constant */
	bool		is_time;		/* depends on the time */
	bool		is_volatile;	/* calls volatile functions */
} RealtimeTraits;

/* Keeps what is known of functions between inspections; lives in the context it was made in. */
typedef struct RealtimeInspector RealtimeInspector;
extern RealtimeInspector *realtime_inspector_new(void);

/* Adds what a parse tree (expression or rewritten query) depends on. */
extern void realtime_inspect(RealtimeInspector *inspector, Node *node, RealtimeTraits *traits);

/* ---------- policy_filter.c ---------- */

/* The operators of terms, as notifiers know them. */
typedef enum RealtimeTermOp
{
	REALTIME_TERM_EQ,
	REALTIME_TERM_NEQ,
	REALTIME_TERM_LT,
	REALTIME_TERM_LTE,
	REALTIME_TERM_GT,
	REALTIME_TERM_GTE,
	REALTIME_TERM_IN,
	REALTIME_TERM_NOT_IN,
	REALTIME_TERM_NULL,
	REALTIME_TERM_NOT_NULL
} RealtimeTermOp;

/* A disjunction of conjunctions of terms. */
typedef struct RealtimeFilter
{
	List	   *any;			/* Lists of C strings: terms as JSON. NIL: no row passes */
	bool		is_exact;		/* else rows that pass may be invisible; those that fail are */
} RealtimeFilter;

/* No row; every row, exactly or because nothing better can be said; the rows for which a term holds. */
extern RealtimeFilter realtime_filter_none(void);
extern RealtimeFilter realtime_filter_all(bool is_exact);
extern RealtimeFilter realtime_filter_bool(bool is_all);
extern RealtimeFilter realtime_filter_term(char *term);

/* The rows of either set, of both sets. */
extern RealtimeFilter realtime_filter_union(RealtimeFilter a, RealtimeFilter b);
extern RealtimeFilter realtime_filter_intersection(RealtimeFilter a, RealtimeFilter b);

/* Whether every row passes. */
extern bool realtime_filter_is_all(const RealtimeFilter *filter);

/* ---------- policy_compile.c ---------- */

/*
 * The filter of a boolean expression over a row type's columns. The reader must be in force; may raise
 * the errors of realtime_policy_fold().
 */
extern RealtimeFilter realtime_policy_compile(RealtimeInspector *inspector, TupleDesc desc, Node *qual,
											  RealtimeNumeric numeric);

/* ---------- policy_compute.c ---------- */

/*
 * Replaces what of an expression depends on the reader alone, who must be in force, by constants. May
 * raise any error that the expression raises, also of parts that would not be reached for some rows.
 */
extern Node *realtime_policy_fold(RealtimeInspector *inspector, Node *node);

/* ---------- policy_term.c ---------- */

/* A column of the relation, perhaps under casts that keep its value; NULL when it is none. */
extern Var *realtime_term_column(Node *node);

/* A column compared with a constant by an operator. */
typedef struct RealtimeComparison
{
	Var		   *column;
	RealtimeTermOp op;			/* EQ to GTE */
	Oid			base;			/* the column's type below domains */
	int32		typmod;
	Oid			other;			/* type of the other side's values below domains */
} RealtimeComparison;

/*
 * Understands an operator between a column (is_left: its left operand) and values of a type under an
 * input collation: false unless terms have exactly its meaning.
 */
extern bool realtime_term_understand(RealtimeComparison *comparison, Oid operator, Oid collation,
									 Node *side, bool is_left, Oid other);

/*
 * Converts a non-null value of the other side into the column's type. False when the column cannot
 * have that value: then it is never equal, and how it compares is not known.
 */
extern bool realtime_term_convert(const RealtimeComparison *comparison, Datum value, Datum *out);

/* Writes a term; values (n of them) have the column's type. */
extern char *realtime_term_write(TupleDesc desc, AttrNumber column, RealtimeTermOp op,
								 const Datum *values, int n, RealtimeNumeric numeric);

/* Whether row_json writes a type's values by somebody's cast to json. */
extern bool realtime_type_has_json_cast(Oid typid);

/* Whether row_json writes null for nulls of this type alone, so that null tests can be terms. */
extern bool realtime_term_has_sure_nulls(Oid typid);

/* ---------- policy_image.c ---------- */

/* Reads JSON images of a row type's rows, some columns of them. */
typedef struct RealtimeImageReader RealtimeImageReader;

/*
 * A reader of the given columns (attribute numbers), in the current context. desc must outlive it.
 * An error when a column's type has a JSON form that cannot be read back.
 */
extern RealtimeImageReader *realtime_image_reader_new(TupleDesc desc, const Bitmapset *columns);

typedef enum RealtimeImageState
{
	REALTIME_IMAGE_WHOLE,
	REALTIME_IMAGE_LACKING,		/* a column is not there */
	REALTIME_IMAGE_AMBIGUOUS	/* several values are written like this one */
} RealtimeImageState;

/*
 * Reads an image of len bytes: valid JSON. Columns that are not read become null. *json_nulls gets the
 * json columns (attribute numbers) written as null: null, or JSON's null. Raises an error for a
 * value that is none of its type.
 */
extern RealtimeImageState realtime_image_read(RealtimeImageReader *reader, const char *image, int len,
											  Datum *values, bool *nulls, Bitmapset **json_nulls);

/* ---------- policy_scan.c ---------- */

/* Where the walk over an image's text is. */
typedef struct RealtimeScanner
{
	const char *at;
	const char *end;
	RealtimeImageState state;	/* as found so far */
} RealtimeScanner;

/* Raises the error for text that is not what it must be. */
extern void realtime_scan_malformed(void);

/* The next character that is no space, 0 at the end; goes past the spaces. */
extern char realtime_scan_peek(RealtimeScanner *scan);

/* Goes past a character that must be there, a string (its inside is given), a value of any kind. */
extern void realtime_scan_expect(RealtimeScanner *scan, char c);
extern void realtime_scan_string(RealtimeScanner *scan, const char **start, int *len);
extern void realtime_scan_skip(RealtimeScanner *scan);

/* The text of a string's inside, palloc'd. */
extern char *realtime_scan_unescape(const char *s, int len);

/* Whether a value, perhaps after spaces, is null. */
extern bool realtime_scan_is_null(const char *start, const char *end);

/* ---------- policy_plan.c ---------- */

/* The policies of a relation that apply to a role, planned for images. For the backend's life. */
typedef struct RealtimePolicyPlan RealtimePolicyPlan;

/*
 * The plan for a relation (locked until it is used) and a role for which the policies with these names
 * apply (realtime_policy_find()). When it must be made, that is done as the role with these claims.
 * Valid until the next call.
 */
extern RealtimePolicyPlan *realtime_policy_plan_get(Relation relation, Oid role, const char *names,
													const char *claims);

/* What the policies depend on, and which columns they read. */
extern const RealtimeTraits *realtime_policy_plan_traits(const RealtimePolicyPlan *plan);
extern const Bitmapset *realtime_policy_plan_columns(const RealtimePolicyPlan *plan);

/*
 * Evaluates the policies on rows, as the role with these claims: sets is_visible of each. To be called
 * between SPI_connect() and SPI_finish(), realtime_policy_plan_open() having been called.
 */
extern void realtime_policy_plan_open(RealtimePolicyPlan *plan, Relation relation,
									  Tuplestorestate *rows, int nrows);
extern void realtime_policy_plan_execute(RealtimePolicyPlan *plan, Relation relation,
										 const char *claims, bool *is_visible, int nrows);

#endif
