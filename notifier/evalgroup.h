/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * evalgroup.h
 *	  Who shares the evaluation of a policy: one entity, role, and the claims that the policy reads.
 *
 * An evaluation is of a sequence of events, numbered from 0: for each row event of an entity, its images
 * are evaluated once per group (evaluator.c), and views look up the verdicts while the same sequence is
 * matched. Pure; one worker's thread.
 */
#ifndef RT_EVALGROUP_H
#define RT_EVALGROUP_H

#include <stdbool.h>
#include <uthash.h>

#include "policy.h"

#define EVAL_NO_IMAGE (~0u)

enum verdict
{
	VERDICT_UNKNOWN,			/* not evaluated: the group cannot see the image anyway */
	VERDICT_NO,
	VERDICT_YES,
	VERDICT_OMITTED				/* a value that the policy needs was left out */
};

/* A row event's images, by their numbers among those of the entity. */
struct eval_event
{
	unsigned	ordinal;		/* of the event in the sequence */
	unsigned	new_image;		/* EVAL_NO_IMAGE: none */
	unsigned	old_image;
};

/* An entity with groups, and the images of the sequence at hand. */
struct eval_entity
{
	UT_hash_handle hh;
	char	   *key;			/* feature, line feed, entity, as inside JSON strings */
	struct eval_group *groups;
	struct eval_event *events;	/* by ordinal */
	unsigned	nevents;
	unsigned	room;
	struct buffer images;		/* an array literal of PostgreSQL, without its last brace */
	unsigned	nimages;
};

struct eval_group
{
	UT_hash_handle hh;			/* in the registry, by key */
	struct eval_group *next;	/* of the entity */
	struct eval_registry *registry;
	struct eval_entity *entity;
	unsigned	refs;
	char	   *key;
	char	   *role;
	char	   *claims;
	char	   *relation;		/* its oid, as text: names change */
	struct policy *policy;
	unsigned char *verdicts;	/* enum verdict of each image; NULL: none evaluated */
	bool		is_wanted;		/* some image of the sequence may be seen */
	bool		is_failed;		/* its policy raised an error or took too long: its views end */
};

struct eval_registry
{
	struct eval_group *groups;
	struct eval_entity *entities;
	struct buffer key;			/* scratch */
};

/* The group of a policy of mode evaluate, with one reference; made when there is none. */
struct eval_group *eval_group_join(struct eval_registry *registry, const struct entity_access *entity,
								   const char *role, const char *claims, struct policy *policy);
void		eval_group_leave(struct eval_group *group);

/* The entity of an event; NULL when nothing of it is evaluated. */
struct eval_entity *eval_registry_find(struct eval_registry *registry, struct slice feature,
									   struct slice entity);

/* What was found of an image of the event with this number. */
enum filter_result eval_group_match(const struct eval_group *group, unsigned ordinal, bool is_old);

/* Forgets the sequence: images and verdicts. */
void		eval_registry_clear(struct eval_registry *registry);

/* Frees what the registry itself has; groups may still be left after. */
void		eval_registry_release(struct eval_registry *registry);

#endif
