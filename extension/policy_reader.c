/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * policy_reader.c
 *	  Taking on a role and claims for a while: what SET LOCAL ROLE and set_config('request.jwt…', …,
 *	  true) do, undone in any case. See policy.h.
 *
 * Names in policies' functions are looked up with the search_path that the session began with: the notifier's
 * own statements have a narrower one.
 *
 * The role is set as the setting "role", so that PostgreSQL's own check decides whether the session
 * may, and current_setting('role') tells. On top of that the user id is marked as changed by a
 * function: then neither SET ROLE nor set_config('role', …) works in what a policy calls.
 *
 * realtime.become() does the same to the end of a transaction, for queries under somebody's policies that
 * the notifier sends. The mark is no setting and would outlive a commit: a callback takes it off.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/jsonapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonfuncs.h"
#include "utils/rls.h"

#include "compat.h"
#include "policy.h"

PG_FUNCTION_INFO_V1(realtime_become);

/* Whether this transaction's user id is marked by realtime.become(). */
static bool is_marked = false;

/* Tokens with more claims than this are refused: each may become a setting of the session. */
static const int MaxClaims = 1000;

/* What the JSON parser's callbacks know. */
typedef struct ClaimsState
{
	JsonLexContext *lex;
	List	   *claims;
	RealtimeClaim *claim;		/* the member being read, or NULL */
	const char *start;			/* of its value */
} ClaimsState;

/* ---------- claims ---------- */

/* JSON callback: claims must be an object, not an array. */
static COMPAT_JSON_ACTION
claims_array_start(void *arg)
{
	ClaimsState *state = arg;

	if (state->lex->lex_level == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("claims are not a JSON object")));
	COMPAT_JSON_ACTION_RETURN;
}

/* JSON callback: claims must be an object, no scalar; a scalar member is its de-escaped text. */
static COMPAT_JSON_ACTION
claims_scalar(void *arg, char *token, JsonTokenType type)
{
	ClaimsState *state = arg;

	if (state->lex->lex_level == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("claims are not a JSON object")));
	if (state->lex->lex_level == 1 && state->claim && type != JSON_TOKEN_NULL)
		state->claim->value = token;
	COMPAT_JSON_ACTION_RETURN;
}

/* JSON callback: a member starts. */
static COMPAT_JSON_ACTION
claims_field_start(void *arg, char *name, bool isnull)
{
	ClaimsState *state = arg;

	if (state->lex->lex_level == 1)
	{
		if (list_length(state->claims) >= MaxClaims)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("claims have more than %d members", MaxClaims)));
		state->claim = palloc0(sizeof(RealtimeClaim));
		state->claim->name = name;
		state->start = state->lex->token_start;
		state->claims = lappend(state->claims, state->claim);
	}
	COMPAT_JSON_ACTION_RETURN;
}

/* JSON callback: a member ends; an object or array is its JSON text. */
static COMPAT_JSON_ACTION
claims_field_end(void *arg, char *name, bool isnull)
{
	ClaimsState *state = arg;

	if (state->lex->lex_level == 1)
	{
		if (state->claim->value == NULL && !isnull)
			state->claim->value = pnstrdup(state->start,
										   state->lex->prev_token_terminator - state->start);
		state->claim = NULL;
	}
	COMPAT_JSON_ACTION_RETURN;
}

List *
realtime_claims_parse(const char *claims)
{
	ClaimsState state = {0};
	JsonSemAction actions = {0};

	state.lex = compat_json_lex(unconstify(char *, claims), strlen(claims));
	actions.semstate = &state;
	actions.array_start = claims_array_start;
	actions.scalar = claims_scalar;
	actions.object_field_start = claims_field_start;
	actions.object_field_end = claims_field_end;
	pg_parse_json_or_ereport(state.lex, &actions);
	return state.claims;
}

/* ---------- settings ---------- */

/* Sets a setting: GUC_ACTION_SAVE for as long as the reader is in force, GUC_ACTION_LOCAL to the transaction's end. */
static void
set(GucAction action, const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, action, true, 0, false);
}

/* Puts the search_path in force that the session began with. */
static void
set_path(GucAction action)
{
	if (strcmp(GetConfigOption("search_path", false, false), GetConfigOptionResetString("search_path")) != 0)
		set(action, "search_path", NULL);
}

/* Whether a claim can be part of a setting's name: others cannot be read as settings. */
static bool
is_setting_name(const char *name)
{
	size_t		len = strlen(name);

	return len >= 1 && len < NAMEDATALEN
		&& strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == len
		&& !(name[0] >= '0' && name[0] <= '9');
}

/*
 * The claim that is read by a setting's name, or NULL. Letters' case does not count in a setting's name:
 * a claim in lower case comes before others; of several alike the last counts, as in JSON.
 */
static const RealtimeClaim *
find_claim(const List *claims, const char *name)
{
	const RealtimeClaim *found = NULL;
	bool		is_lower = false;
	ListCell   *cell;

	foreach(cell, claims)
	{
		const RealtimeClaim *claim = lfirst(cell);
		bool		is_this_lower = strpbrk(claim->name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == NULL;

		if (pg_strcasecmp(claim->name, name) != 0 || (is_lower && !is_this_lower))
			continue;
		found = claim;
		is_lower = is_this_lower;
	}
	return found;
}

/*
 * Sets request.jwt.claim.<name>. A claim that is missing, null or empty must not show what the session had:
 * it is emptied. (A setting that was never there stays so.)
 */
static void
set_claim(GucAction action, const List *claims, const char *name)
{
	const RealtimeClaim *claim = find_claim(claims, name);
	char	   *setting;

	if (!is_setting_name(name))
		return;
	setting = psprintf(POLICY_CLAIM_PREFIX "%s", name);
	if (claim && claim->value && claim->value[0] != '\0')
		set(action, setting, claim->value);
	else if (GetConfigOption(setting, true, false) != NULL)
		set(action, setting, "");
	pfree(setting);
}

/* See policy.h. */
List *
realtime_reader_absent(const char *claims, const List *names)
{
	List	   *members = realtime_claims_parse(claims);
	List	   *absent = NIL;
	ListCell   *cell;

	foreach(cell, names)
	{
		const RealtimeClaim *claim = find_claim(members, lfirst(cell));

		if (is_setting_name(lfirst(cell)) && (claim == NULL || claim->value == NULL || claim->value[0] == '\0'))
			absent = lappend(absent, lfirst(cell));
	}
	return absent;
}

void
realtime_reader_enter(RealtimeReader *reader, Oid role, const char *claims, const List *names,
					  bool is_all)
{
	List	   *members = realtime_claims_parse(claims);
	ListCell   *cell;
	Oid			user;

	reader->role = role;
	reader->guc_level = NewGUCNestLevel();
	set(GUC_ACTION_SAVE, "role", GetUserNameFromId(role, false));
	if (!row_security)
		set(GUC_ACTION_SAVE, "row_security", "on");
	set_path(GUC_ACTION_SAVE);
	set(GUC_ACTION_SAVE, "jit", "off");	/* not worth it for rows one by one, whatever the estimates say */
	set(GUC_ACTION_SAVE, POLICY_CLAIMS_SETTING, claims);
	if (is_all)
		foreach(cell, members)
			set_claim(GUC_ACTION_SAVE, members, ((RealtimeClaim *) lfirst(cell))->name);
	foreach(cell, names)
		set_claim(GUC_ACTION_SAVE, members, lfirst(cell));
	GetUserIdAndSecContext(&user, &reader->sec_context);
	SetUserIdAndSecContext(role, reader->sec_context | SECURITY_LOCAL_USERID_CHANGE);
}

void
realtime_reader_leave(RealtimeReader *reader)
{
	/* the user id first: the setting "role" cannot be changed under a mark */
	SetUserIdAndSecContext(reader->role, reader->sec_context);
	AtEOXact_GUC(false, reader->guc_level);
}

/* ---------- for a transaction ---------- */

/* Transaction callback: the mark goes before the settings do, since "role" cannot be changed under it. */
static void
on_transaction(XactEvent event, void *arg)
{
	Oid			user;
	int			sec_context;

	if (!is_marked || (event != XACT_EVENT_COMMIT && event != XACT_EVENT_PREPARE && event != XACT_EVENT_ABORT))
		return;
	is_marked = false;
	if (event == XACT_EVENT_ABORT)
		return;					/* PostgreSQL has put back what was at the beginning */
	GetUserIdAndSecContext(&user, &sec_context);
	SetUserIdAndSecContext(user, sec_context & ~SECURITY_LOCAL_USERID_CHANGE);
}

/*
 * SQL: become(role, claims). In a subtransaction it is refused: its rollback would take the mark off in a
 * place of its own. Under a mark already (a second call, a function of its own) PostgreSQL refuses the role.
 */
Datum
realtime_become(PG_FUNCTION_ARGS)
{
	char	   *role = NameStr(*PG_GETARG_NAME(0));
	char	   *claims = text_to_cstring(PG_GETARG_TEXT_PP(1));
	List	   *members = realtime_claims_parse(claims);
	ListCell   *cell;
	Oid			user;
	int			sec_context;

	if (GetCurrentTransactionNestLevel() > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("realtime.become() cannot be called in a subtransaction")));
	(void) realtime_policy_role(role);
	set(GUC_ACTION_LOCAL, "role", role);
	set(GUC_ACTION_LOCAL, "row_security", "on");
	set_path(GUC_ACTION_LOCAL);
	set(GUC_ACTION_LOCAL, POLICY_CLAIMS_SETTING, claims);
	foreach(cell, members)
		set_claim(GUC_ACTION_LOCAL, members, ((RealtimeClaim *) lfirst(cell))->name);
	GetUserIdAndSecContext(&user, &sec_context);
	SetUserIdAndSecContext(user, sec_context | SECURITY_LOCAL_USERID_CHANGE);
	is_marked = true;
	PG_RETURN_VOID();
}

void
realtime_reader_init(void)
{
	RegisterXactCallback(on_transaction, NULL);
}
