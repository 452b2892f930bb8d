/*
 * rv_shm_guard: memory that others can cut off does not kill us.
 *
 * Touching a mapped file behind its end is a SIGBUS. For the mappings entered
 * here the file is made as long as it was, with zeros; where that fails (no
 * space) zeros of this process's own take its place. What became of the content
 * is for its owner to find out.
 */
#ifndef RV_SHM_GUARD_H
#define RV_SHM_GUARD_H

#include "rv_base.h"

/*
 * Makes a file `size` bytes long, each with its place; the first `from` bytes are
 * there already and keep their content. RV_ERROR and errno: ENOSPC.
 */
int rv_shm_guard_reserve(int fd, size_t from, size_t size);

/* Guards a mapping of the file fd, which may be open for reading only. It stays
 * guarded over fork. RV_ERROR: there are too many (ENOMEM), or errno of sigaction. */
int rv_shm_guard_add(void *addr, size_t size, int fd);

/* Before it is unmapped. One that is not guarded is allowed. */
void rv_shm_guard_remove(const void *addr);

/* Puts the file back in its place where zeros had taken it, once it is long
 * enough again. RV_ERROR: it is not. */
int rv_shm_guard_heal(const void *addr);

#endif
