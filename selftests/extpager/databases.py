#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
# vm: timeout=300 deep=debug
"""SQLite, with its pages mapped, and LMDB keep their database on a target, in the
two ways that extpager(7) tells; they find it sound there, and on the raw device."""
import os
import random
import sqlite3
import sys

import lmdb

sys.path.append("/tests/helpers")
from served import DISK, MIB, Target, drop_caches, main, run, shows

SHM = "/dev/shm"
SEED = int(os.environ.get("EXTPAGER_SEED", "1"))
DEEP = os.environ.get("EXTPAGER_DEEP") == "1"
DEBUG = os.environ.get("EXTPAGER_DEBUG_KERNEL") == "1"
SIZE = (64 if DEEP else 8) * MIB
ROUNDS = 20 if DEEP else 2 if DEBUG else 4
ROWS = 150


def overlay(target):
    """The target bind-mounted over a file elsewhere, beside which there may be others."""
    path = f"{SHM}/database"
    with open(path, "wb"):
        pass
    run("mount", "--bind", target.path, path)
    return path


def off_device(size):
    """The database as the device has it, once nobody serves from it."""
    path = f"{SHM}/from-device"
    run("blockdev", "--flushbufs", DISK)
    run("dd", f"if={DISK}", f"of={path}", "bs=1M", f"count={size // MIB}", "status=none")
    return path


def content(generator):
    return generator.randbytes(generator.randrange(1, 3000))


# ---- SQLite ----

def sqlite_open(path, journal, mapped):
    database = sqlite3.connect(path, isolation_level=None)
    assert database.execute(f"pragma journal_mode={journal}").fetchone() == (journal,)
    assert database.execute(f"pragma mmap_size={SIZE if mapped else 0}").fetchone() == \
        (SIZE if mapped else 0,)
    return database


def sqlite_is(database, rows):
    assert database.execute("pragma integrity_check").fetchall() == [("ok",)]
    assert dict(database.execute("select number, content from t")) == rows


def sqlite_work(path, journal):
    """Inserts, changes, deletes, takes back; what must be there then."""
    generator, rows = random.Random(SEED), {}
    database = sqlite_open(path, journal, True)
    database.execute("create table t (number integer primary key, content blob)")
    database.execute("create index i on t (content)")
    for number in range(ROUNDS):
        database.execute("begin")
        for key in generator.sample(range(2 * ROWS), ROWS):
            rows[key] = content(generator)
            database.execute("insert or replace into t values (?, ?)", (key, rows[key]))
        for key in generator.sample(sorted(rows), ROWS // 3):
            del rows[key]
            database.execute("delete from t where number = ?", (key,))
        database.execute("commit")
        database.execute("begin")
        database.execute("delete from t where number % 2")
        database.execute("rollback")
        drop_caches()
        sqlite_is(database, rows)
        if number % 2:          # a second connection, which maps nothing, sees the same
            other = sqlite_open(path, journal, False)
            sqlite_is(other, rows)
            other.close()
    database.close()
    return rows


def sqlite_on_target(journal, way):
    # A database of no pages is no database yet: a target's zeros are none.
    empty = f"{SHM}/empty"
    database = sqlite3.connect(empty)
    database.execute("vacuum")
    database.close()
    with Target(SIZE, "sqlite") as target:
        run("dd", f"if={empty}", f"of={target.path}", "conv=notrunc", "status=none")
        path = way(target)
        rows = sqlite_work(path, journal)
        if path != target.path:
            assert sorted(f for f in os.listdir(SHM) if f.startswith("database")) == ["database"]
            run("umount", path)
            os.unlink(path)
    database = sqlite_open(off_device(SIZE), "memory", False)
    sqlite_is(database, rows)
    database.close()
    os.unlink(empty)
    os.unlink(f"{SHM}/from-device")


@shows(151)
def test_sqlite_with_its_journal_in_memory():
    sqlite_on_target("memory", lambda target: target.path)


@shows(151)
def test_sqlite_with_its_journal_beside_a_bind_mount():
    sqlite_on_target("delete", overlay)


# ---- LMDB ----

def lmdb_open(path, **options):
    return lmdb.open(path, subdir=False, map_size=SIZE, **options)


def lmdb_is(environment, rows):
    with environment.begin() as transaction:
        assert dict(transaction.cursor()) == rows
        assert transaction.stat()["entries"] == len(rows)


def lmdb_work(path, **options):
    generator, rows = random.Random(SEED), {}
    environment = lmdb_open(path, **options)
    for _ in range(ROUNDS):
        with environment.begin(write=True) as transaction:
            for key in generator.sample(range(2 * ROWS), ROWS):
                key = b"%d" % key
                rows[key] = content(generator)
                transaction.put(key, rows[key])
            for key in generator.sample(sorted(rows), ROWS // 3):
                del rows[key]
                assert transaction.delete(key)
        transaction = environment.begin(write=True)
        transaction.put(b"taken back", b"x")
        transaction.abort()
        drop_caches()
        lmdb_is(environment, rows)
        # It walks the tree and checks each page that it copies.
        copy = f"{SHM}/copy"
        environment.copy(copy, compact=True)
        with lmdb_open(copy, lock=False, readonly=True) as copied:
            lmdb_is(copied, rows)
        os.unlink(copy)
    environment.close()
    return rows


def lmdb_on_target(way, **options):
    empty = f"{SHM}/empty"
    with lmdb_open(empty, lock=False) as environment, environment.begin(write=True) as first:
        first.put(b"0", b"")
        first.delete(b"0")
    with Target(SIZE, "lmdb") as target:
        run("dd", f"if={empty}", f"of={target.path}", "conv=notrunc", "status=none")
        path = way(target)
        rows = lmdb_work(path, **options)
        if path != target.path:
            assert os.path.exists(f"{path}-lock")
            os.unlink(f"{path}-lock")
            run("umount", path)
            os.unlink(path)
    with lmdb_open(off_device(SIZE), lock=False, readonly=True) as environment:
        lmdb_is(environment, rows)
    os.unlink(empty)
    os.unlink(f"{SHM}/from-device")


@shows(151)
def test_lmdb_without_its_lock_file():
    lmdb_on_target(lambda target: target.path, lock=False)


@shows(151)
def test_lmdb_that_writes_through_the_mapping_beside_a_bind_mount():
    lmdb_on_target(overlay, writemap=True)


main(globals())
