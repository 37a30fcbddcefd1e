/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * inspector_page.c
 *	  See inspector_page.h. The assembler takes the files as they are, from the directory where the compiler
 *	  runs (notifier/).
 */
#include "inspector_page.h"

#define INCLUDE_FILE(name, file) \
	__asm__(".section .rodata\n" \
			".global inspector_" #name "\n" \
			"inspector_" #name ":\n" \
			".incbin \"inspector/" file "\"\n" \
			".global inspector_" #name "_end\n" \
			"inspector_" #name "_end:\n" \
			".byte 0\n" \
			".previous\n"); \
	extern const char inspector_##name[]; \
	extern const char inspector_##name##_end[]

INCLUDE_FILE(html, "index.html");
INCLUDE_FILE(css, "inspector.css");
INCLUDE_FILE(js, "inspector.js");
INCLUDE_FILE(chart, "chart.js");
INCLUDE_FILE(feed, "feed.js");
INCLUDE_FILE(lists, "lists.js");

bool
inspector_find_file(struct slice path, struct inspector_file *file)
{
	static const struct
	{
		const char *path;
		const char *type;
		const char *from;
		const char *to;
	}			files[] = {
		{"/inspector", "text/html; charset=utf-8", inspector_html, inspector_html_end},
		{"/inspector/inspector.css", "text/css; charset=utf-8", inspector_css, inspector_css_end},
		{"/inspector/inspector.js", "text/javascript; charset=utf-8", inspector_js, inspector_js_end},
		{"/inspector/chart.js", "text/javascript; charset=utf-8", inspector_chart, inspector_chart_end},
		{"/inspector/feed.js", "text/javascript; charset=utf-8", inspector_feed, inspector_feed_end},
		{"/inspector/lists.js", "text/javascript; charset=utf-8", inspector_lists, inspector_lists_end},
	};

	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (slice_equals(path, files[i].path))
		{
			*file = (struct inspector_file) {files[i].path, files[i].type,
				{files[i].from, (size_t) (files[i].to - files[i].from)}};
			return true;
		}
	return false;
}
