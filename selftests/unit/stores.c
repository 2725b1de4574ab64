// SPDX-License-Identifier: GPL-2.0-only
/*
 * The stores that need no device: every operation against a model in memory.
 * A block device is played by a file whose last block must be whole.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../daemon/engine.c"
#include "../../daemon/store-fd.c"
#include "../../daemon/store-file.c"
#include "../../daemon/store-mem.c"
#include "../../daemon/store-range.c"
#include "../../daemon/store-zero.c"
#include "../../daemon/store.c"
#undef ARRAY_SIZE
#include "../../daemon/units.c"
#undef ARRAY_SIZE
#include "../../daemon/uri.c"

/* Not linked: libblkid. */
const struct store_ops store_block_ops;

#define MODEL_BYTES	(1 << 20)

static struct engine engine;
static bool have_ring;
static char dir[32] = "/var/tmp/ep-stores-XXXXXX";

static int setup(void **state)
{
	(void)state;
	have_ring = !engine_init(&engine, 8, -1);
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	if (have_ring)
		engine_exit(&engine);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

/* ---- One operation at a time -------------------------------------------- */

static bool ended;

static void on_end(struct store_io *io)
{
	(void)io;
	ended = true;
}

static int run(struct store *store, enum store_op op, uint64_t offset, uint64_t length, void *buf,
	       const void **data)
{
	struct store_io io = {
		.store = store, .op = op, .engine = &engine, .offset = offset,
		.length = length, .buf = buf, .done = on_end,
	};

	ended = false;
	store_submit(&io);
	while (!ended) {
		int ret = engine_run(&engine, true);

		assert_true(!ret || ret == -EINTR);
	}
	assert_int_equal(engine.in_flight, 0);
	if (data)
		*data = io.data;
	return io.error;
}

static void *pages(size_t bytes)
{
	void *buf = NULL;

	assert_int_equal(posix_memalign(&buf, 4096, bytes + 4096), 0);
	memset(buf, 0xee, bytes + 4096);
	return buf;
}

static int open_store(const char *uri, uint64_t bytes, bool read_only, struct store **store,
		      char *why)
{
	struct store_want want = { .owner = "test", .bytes = bytes, .read_only = read_only };

	return store_open(uri, &want, store, why, 512);
}

/* Lent or not, on a ring of its own for each: memory is lent to one once. */
static void new_ring(void *lent, size_t bytes)
{
	engine_exit(&engine);
	assert_int_equal(engine_init(&engine, 8, -1), 0);
	if (lent)
		engine_lend(&engine, lent, bytes);
	assert_ptr_equal(engine.lent, lent);
}

/* Random operations, page-aligned, ending anywhere at the end. */
static void against_model(struct store *store, uint64_t bytes, unsigned int rounds)
{
	char *model = calloc(1, bytes), *buf = pages(bytes);
	uint64_t npages = (bytes + 4095) / 4096;
	unsigned int seed = 1;
	const void *data;

	assert_non_null(model);
	while (rounds--) {
		uint64_t first = (uint64_t)rand_r(&seed) % npages;
		uint64_t n = 1 + (uint64_t)rand_r(&seed) % (npages - first);
		uint64_t offset = first * 4096, length = n * 4096;

		if (offset + length > bytes)
			length = bytes - offset;
		switch (rand_r(&seed) % 4) {
		case 0:
			memset(buf, rand_r(&seed) & 0xff, length);
			assert_int_equal(run(store, STORE_WRITE, offset, length, buf, NULL), 0);
			memcpy(model + offset, buf, length);
			break;
		case 1:
			assert_int_equal(run(store, STORE_WRITE_ZEROS, offset, length,
					     NULL, NULL), 0);
			memset(model + offset, 0, length);
			break;
		case 2:
			assert_int_equal(run(store, STORE_FLUSH, 0, 0, NULL, NULL), 0);
			break;
		default:
			assert_int_equal(run(store, STORE_READ, offset, length, buf, &data), 0);
			assert_memory_equal(data, model + offset, length);
		}
	}
	assert_int_equal(run(store, STORE_READ, 0, bytes, buf, &data), 0);
	assert_memory_equal(data, model, bytes);
	free(model);
	free(buf);
}

/* ---- Tests --------------------------------------------------------------- */

static void mem_store(void **state)
{
	struct store *store;
	char why[512];

	(void)state;
	assert_int_equal(open_store("mem:", MODEL_BYTES - 77, false, &store, why), 0);
	assert_true(store->is_volatile);
	against_model(store, MODEL_BYTES - 77, 400);
	store_close(store);
}

/* Of a target that was served before: nothing is made up. */
static void lost_memory(void **state)
{
	struct store_want want = { .owner = "test", .bytes = 8292, .used = true };
	char why[512], *buf = pages(8192);
	struct store *store;
	const void *data;

	(void)state;
	assert_int_equal(store_open("mem:", &want, &store, why, sizeof(why)), 0);
	assert_int_equal(run(store, STORE_READ, 0, 4096, buf, NULL), -ENODATA);
	assert_int_equal(run(store, STORE_WRITE, 4096, 4096, buf, NULL), 0);
	assert_int_equal(run(store, STORE_READ, 4096, 4096, buf, &data), 0);
	assert_memory_equal(data, buf, 4096);
	assert_int_equal(run(store, STORE_READ, 0, 8192, buf, NULL), -ENODATA);
	assert_int_equal(run(store, STORE_READ, 8192, 100, buf, NULL), -ENODATA);
	assert_int_equal(run(store, STORE_WRITE_ZEROS, 8192, 100, NULL, NULL), 0);
	assert_int_equal(run(store, STORE_READ, 4096, 4196, buf, NULL), 0);
	store_close(store);
	free(buf);
}

static void zero_store(void **state)
{
	struct store *store;
	const void *data;
	char why[512], buf[64];

	(void)state;
	assert_int_equal(open_store("zero:", 1 << 20, false, &store, why), -EROFS);
	assert_non_null(strstr(why, "--read-only"));
	assert_int_equal(open_store("zero:", 1 << 20, true, &store, why), 0);
	assert_int_equal(run(store, STORE_READ, 0, 64, buf, &data), 0);
	assert_null(data);
	assert_int_equal(run(store, STORE_WRITE, 0, 64, buf, NULL), -EROFS);
	assert_int_equal(run(store, STORE_READ, 1 << 20, 1, buf, NULL), -EIO);
	store_close(store);
}

/* Memory that the ring knows is not looked up; what is not all of it, is. */
static void lent_memory(void **state)
{
	char *buf = pages(MODEL_BYTES), uri[256], why[512];
	struct io_uring_sqe sqe;
	struct store *store;
	const void *data;

	(void)state;
	if (!have_ring)
		skip();
	new_ring(buf + 4096, 8192);
	engine_prep_read(&engine, &sqe, 0, buf + 4096, 8192, 0);
	assert_int_equal(sqe.opcode, IORING_OP_READ_FIXED);
	engine_prep_write(&engine, &sqe, 0, buf + 8192, 4096, 0);
	assert_int_equal(sqe.opcode, IORING_OP_WRITE_FIXED);
	engine_prep_read(&engine, &sqe, 0, buf + 8192, 4097, 0);
	assert_int_equal(sqe.opcode, IORING_OP_READ);
	engine_prep_write(&engine, &sqe, 0, buf, 8192, 0);
	assert_int_equal(sqe.opcode, IORING_OP_WRITE);
	snprintf(uri, sizeof(uri), "file:%s/lent?create=1", dir);
	assert_int_equal(open_store(uri, MODEL_BYTES, false, &store, why), 0);
	for (size_t at = 0; at <= 12288; at += 4096) {
		char *to = buf + (at ^ 4096);

		memset(to, 0, 4096);
		memset(buf + at, (int)(at / 4096) + 1, 4096);
		assert_int_equal(run(store, STORE_WRITE, at * 4, 4096, buf + at, NULL), 0);
		assert_int_equal(run(store, STORE_READ, at * 4, 4096, to, &data), 0);
		assert_ptr_equal(data, to);
		assert_memory_equal(data, buf + at, 4096);
	}
	store_close(store);
	/* Refused, it is as any other. */
	new_ring(NULL, 0);
	engine_lend(&engine, NULL, 4096);
	assert_null(engine.lent);
	engine_prep_read(&engine, &sqe, 0, buf, 4096, 0);
	assert_int_equal(sqe.opcode, IORING_OP_READ);
	free(buf);
}

static void file_store(void **state)
{
	static const uint64_t sizes[] = {
		MODEL_BYTES, MODEL_BYTES - 1, MODEL_BYTES - 4095, 1, 4096, 4097, 511,
	};
	char uri[256], why[512];
	struct store *store;
	struct stat st;

	(void)state;
	if (!have_ring)
		skip();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		snprintf(uri, sizeof(uri), "file:%s/f%zu?create=1", dir, i);
		assert_int_equal(open_store(uri, sizes[i], false, &store, why), 0);
		against_model(store, sizes[i], 200);
		store_close(store);
		/* What was in the last block beyond the end has not come to be. */
		snprintf(uri, sizeof(uri), "%s/f%zu", dir, i);
		assert_int_equal(stat(uri, &st), 0);
		assert_int_equal(st.st_size, sizes[i]);
	}
}

static void file_at_offset(void **state)
{
	char uri[256], path[128], why[512];
	static const unsigned int offsets[] = { 4096, 512, 1000 };
	struct store *store;
	char byte;

	(void)state;
	if (!have_ring)
		skip();
	for (size_t i = 0; i < 3; i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/o%zu", dir, i);
		fd = open(path, O_RDWR | O_CREAT, 0600);
		assert_int_equal(ftruncate(fd, 100000), 0);
		assert_int_equal(pwrite(fd, "A", 1, offsets[i] - 1), 1);
		assert_int_equal(pwrite(fd, "B", 1, offsets[i] + 50001), 1);
		snprintf(uri, sizeof(uri), "file:%s?offset=%u&length=50001", path, offsets[i]);
		assert_int_equal(open_store(uri, 50001, false, &store, why), 0);
		against_model(store, 50001, 200);
		store_close(store);
		assert_int_equal(pread(fd, &byte, 1, offsets[i] - 1), 1);
		assert_int_equal(byte, 'A');
		assert_int_equal(pread(fd, &byte, 1, offsets[i] + 50001), 1);
		assert_int_equal(byte, 'B');
		close(fd);
	}
}

/* As block: has it: the last block is read, changed and written as a whole. */
static void whole_blocks_only(void **state)
{
	static const uint64_t sizes[] = { 8192, 8193, 100000, 1, 511, 513 };
	char path[128], byte;

	(void)state;
	if (!have_ring)
		skip();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (unsigned int mode = 0; mode <= NR_ZERO_MODES; mode++) {
			struct store_fd *fd = store_fd_alloc();
			uint64_t whole = (sizes[i] + 511) / 512 * 512;

			snprintf(path, sizeof(path), "%s/b%zu-%u", dir, i, mode);
			fd->fd = open(path, O_RDWR | O_CREAT, 0600);
			assert_int_equal(ftruncate(fd->fd, (off_t)whole), 0);
			fd->zero_mode = mode;
			fd->store.ops = &store_file_ops;
			fd->store.block = 512;
			fd->store.bytes = whole;
			/* A neighbour in the last block. */
			if (whole > sizes[i])
				assert_int_equal(pwrite(fd->fd, "N", 1, (off_t)whole - 1), 1);
			against_model(&fd->store, sizes[i], 200);
			if (whole > sizes[i]) {
				assert_int_equal(pread(fd->fd, &byte, 1, (off_t)whole - 1), 1);
				assert_int_equal(byte, 'N');
			}
			store_close(&fd->store);
		}
	}
}

static void short_file_is_an_error(void **state)
{
	char uri[256], path[128], why[512], *buf = pages(65536);
	struct store *store;

	(void)state;
	if (!have_ring)
		skip();
	snprintf(path, sizeof(path), "%s/short", dir);
	snprintf(uri, sizeof(uri), "file:%s?create=1", path);
	assert_int_equal(open_store(uri, 65536, false, &store, why), 0);
	assert_int_equal(truncate(path, 10000), 0);
	assert_int_equal(run(store, STORE_READ, 0, 65536, buf, NULL), -EIO);
	assert_int_equal(run(store, STORE_READ, 0, 8192, buf, NULL), 0);
	assert_int_equal(truncate(path, 8192), 0);
	assert_int_equal(run(store, STORE_READ, 0, 65536, buf, NULL), -EIO);
	assert_int_equal(run(store, STORE_READ, 4096, 4096, buf, NULL), 0);
	store_close(store);
	free(buf);
}

static void refusals(void **state)
{
	char uri[256], other[512], path[128], why[512];
	struct store *a, *b;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/r", dir);
	snprintf(uri, sizeof(uri), "file:%s", path);
	assert_int_equal(open_store(uri, 4096, false, &a, why), -ENOENT);
	assert_non_null(strstr(why, "create=1"));
	fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_int_equal(ftruncate(fd, 16384), 0);

	assert_int_equal(open_store(uri, 16385, false, &a, why), -ENOSPC);
	assert_non_null(strstr(why, "the store holds 16 KiB"));
	snprintf(other, sizeof(other), "%s?offset=16385", uri);
	assert_int_equal(open_store(other, 1, false, &a, why), -ERANGE);
	snprintf(other, sizeof(other), "file:%s", dir);
	assert_int_equal(open_store(other, 1, true, &a, why), -EINVAL);
	assert_int_equal(open_store("file:/dev/null", 1, false, &a, why), -EINVAL);
	assert_int_equal(open_store("disk:/x", 1, false, &a, why), -EINVAL);

	/* Overlaps; a failure leaves nothing taken. */
	assert_int_equal(open_store(uri, 8192, false, &a, why), 0);
	assert_int_equal(open_store(uri, 4096, false, &b, why), -EBUSY);
	assert_non_null(strstr(why, "target 'test'"));
	assert_int_equal(open_store(uri, 4096, true, &b, why), -EBUSY);
	snprintf(other, sizeof(other), "%s?offset=8192", uri);
	assert_int_equal(open_store(other, 8192, false, &b, why), 0);
	store_close(b);
	store_close(a);
	assert_int_equal(open_store(uri, 16384, true, &a, why), 0);
	assert_int_equal(open_store(uri, 16384, true, &b, why), 0);
	store_close(b);
	store_close(a);

	/* Another process: played by another open file. */
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 1 };

	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	assert_int_equal(open_store(uri, 4096, false, &a, why), -EBUSY);
	assert_non_null(strstr(why, "another process"));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mem_store),
		cmocka_unit_test(lost_memory),
		cmocka_unit_test(zero_store),
		cmocka_unit_test(file_store),
		cmocka_unit_test(lent_memory),
		cmocka_unit_test(file_at_offset),
		cmocka_unit_test(whole_blocks_only),
		cmocka_unit_test(short_file_is_an_error),
		cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
