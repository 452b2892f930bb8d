/*
 * descriptors: how many this process has.
 */
#ifndef DESCRIPTORS_H
#define DESCRIPTORS_H

/* A number to be compared with another one: what looking takes is in both. Aborts where it
 * cannot be told. */
int descriptors_open(void);

#endif
