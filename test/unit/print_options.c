/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * print_options.c
 *	  The table of options as --help prints it, or what is in force: for script/check-config.
 */
#include "options.h"

int
main(int argc, char **argv)
{
	struct options options;
	int			status = options_read(&options, argc, argv, stderr) == RT_OK ? 0 : 1;

	if (options.is_help)
		options_print_help(stdout);
	else if (status == 0)
		options_print(&options, stdout);
	options_release(&options);
	return status;
}
