/*
 * rv_harmless: text of strangers that is shown on somebody's terminal.
 */
#ifndef RV_HARMLESS_H
#define RV_HARMLESS_H

#include "rv_base.h"

/*
 * Puts "?" in the place of each byte that may be more to a terminal than a character: control
 * characters (C0, DEL and C1), what turns the direction of text or ends a line, and
 * what is no UTF-8. A tab becomes a space. The length stays.
 */
void rv_harmless(char *text, size_t length);

#endif
