# SPDX-License-Identifier: Apache-2.0
"""The world of tests/lib/world.sh in which a reaction dies: put back as it was, and what must hold in it."""
import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess

import yaml

HOST = os.environ["HOST"]
SETTINGS = HOST + "/agent.yaml"
VMID = "8200"
GUESTS = HOST + "/run/guests"
DIRECTORY = GUESTS + "/" + VMID
EXPORT = HOST + "/run/export/" + VMID
DB = HOST + "/state/db"
RECORDS = HOST + "/run/tokens"
KEPT = HOST + "/kept"
SECRETS = ["bootstrap.json", "controller.yaml", "token"]
FILES = ["agent.crt"] + SECRETS
DRAFT = re.compile(r"^\.(agent\.crt|bootstrap\.json|controller\.yaml|token)\.[0-9a-f]{16}$")
TOKEN = re.compile(r"^fh1_[0-9A-Za-z]{8}_[0-9A-Za-z_-]{43}_[0-9A-Za-z]{6}$")


# --- the world, kept and put back ---


def copy(source, target):
    os.makedirs(target, exist_ok=True)
    like(source, target)
    for entry in os.scandir(source):
        there = target + "/" + entry.name
        if entry.is_dir(follow_symlinks=False):
            copy(entry.path, there)
        else:
            shutil.copyfile(entry.path, there)
            like(entry.path, there)


def like(source, target):
    details = os.stat(source)
    os.chown(target, details.st_uid, details.st_gid)
    os.chmod(target, details.st_mode & 0o7777)


def keep():
    shutil.rmtree(KEPT, ignore_errors=True)
    for name, place in (("db", DB), ("guest", DIRECTORY), ("records", RECORDS)):
        if os.path.isdir(place):
            copy(place, KEPT + "/" + name)


def empty(place):
    for entry in os.scandir(place):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def unmount_exports():
    for target in mounts():
        subprocess.run(["umount", target], check=True)


def put_back():
    """A guest's directory that was there stays the same inode, which is mounted."""
    shutil.rmtree(DB, ignore_errors=True)
    if os.path.isdir(KEPT + "/db"):
        copy(KEPT + "/db", DB)
    if os.path.isdir(KEPT + "/guest"):
        empty(DIRECTORY)
        copy(KEPT + "/guest", DIRECTORY)
        empty(RECORDS)
        copy(KEPT + "/records", RECORDS)
        return
    unmount_exports()
    shutil.rmtree(HOST + "/run", ignore_errors=True)


def mounts():
    return [line.split()[4] for line in open("/proc/self/mountinfo")
            if line.split()[4].startswith(HOST + "/run/export/")]


# --- what must hold ---


class Store:
    """The store as whoever comes next finds it: a copy, so that it is not the looking that mends it."""

    def __init__(self):
        self.tokens = {}
        self.state = None
        self.wrong = []
        shutil.rmtree(HOST + "/looked", ignore_errors=True)
        if not os.path.exists(DB + "/agent.db"):
            return
        os.mkdir(HOST + "/looked")
        for name in ("agent.db", "agent.db-wal"):
            if os.path.exists(DB + "/" + name):
                shutil.copyfile(DB + "/" + name, HOST + "/looked/" + name)
        self.look(HOST + "/looked/agent.db")

    def look(self, path):
        try:
            connection = sqlite3.connect(path)
            sound = connection.execute("PRAGMA integrity_check").fetchone()[0]
            if sound != "ok":
                self.wrong.append("store: " + sound)
            if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] > 0:
                for row in connection.execute("SELECT hash, id, generation, revoked_at_ms, expires_at_ms FROM token WHERE vmid = " + VMID):
                    self.tokens[row[0]] = row[1:]
                self.state = (connection.execute("SELECT state FROM guest WHERE vmid = " + VMID).fetchone()
                              or [None])[0]
            connection.close()
        except sqlite3.Error as error:
            self.wrong.append("store: %s" % error)

    def newest(self):
        return max(self.tokens.values(), key=lambda token: token[1], default=None)

    def good(self):
        return [token for token in self.tokens.values() if token[2] is None]


def token_in(name, text):
    """The token of a whole file; ValueError where it is not whole."""
    if name == "token":
        token = text[:-1] if text.endswith("\n") else ""
    elif name == "bootstrap.json":
        token = json.loads(text)["local_api_token"]
    else:
        token = yaml.safe_load(text)["local_api"]["token"]
    if not TOKEN.match(token):
        raise ValueError("no token")
    return token


class Directory:
    """The guest's directory: which tokens it holds, and whether each file is whole: says what it did without any fault, if that is known."""

    def __init__(self, owner, texts=None):
        self.tokens = {}
        self.texts = {}
        self.known = texts or {}
        self.names = sorted(os.listdir(DIRECTORY)) if os.path.isdir(DIRECTORY) else []
        self.wrong = []
        for name in self.names:
            self.look(name, owner)

    def look(self, name, owner):
        path = DIRECTORY + "/" + name
        details = os.lstat(path)
        mode = details.st_mode & 0o777
        if DRAFT.match(name):
            if mode not in (0, 0o600, 0o644) or (mode and details.st_uid not in (0, owner)):
                self.wrong.append("%s: mode %o of %d" % (name, mode, details.st_uid))
            return
        if name not in FILES:
            self.wrong.append("%s does not belong here" % name)
            return
        if details.st_uid != owner or mode != (0o644 if name == "agent.crt" else 0o600):
            self.wrong.append("%s: mode %o of %d" % (name, mode, details.st_uid))
        self.read(name, open(path).read())

    def read(self, name, text):
        try:
            if name in SECRETS:
                self.tokens[name] = token_in(name, text)
                self.texts[name] = text.replace(self.tokens[name], "TOKEN")
                if self.texts[name] != self.known.get(name, self.texts[name]):
                    self.wrong.append("%s says something else: %s" % (name, self.texts[name]))
            elif not (text.startswith("-----BEGIN CERTIFICATE") and text.endswith("END CERTIFICATE-----\n")):
                raise ValueError("no certificate")
        except (ValueError, KeyError, TypeError, yaml.YAMLError) as error:
            self.wrong.append("%s is not whole: %s" % (name, error))

    def drafts(self):
        return [name for name in self.names if DRAFT.match(name)]


def digest(token):
    return hashlib.sha256(token.encode()).digest()


def recorded():
    """The ids of the tokens that are on record, without which felhomd accepts none."""
    try:
        lines = open(RECORDS + "/" + VMID).read().splitlines()
    except FileNotFoundError:
        return []
    return [line.split()[0] for line in lines[1:]]


def broken(store, directory):
    """What must hold after every death and every failure."""
    wrong = store.wrong + directory.wrong
    for name, token in directory.tokens.items():
        kept = store.tokens.get(digest(token))
        if kept is None:
            wrong.append("%s holds a token that is not known" % name)
        elif kept[2] is not None:
            wrong.append("%s holds a token that was revoked" % name)
        elif token[4:12] not in recorded():
            wrong.append("%s holds a token that is not on record" % name)
    return wrong


def holds(names):
    return "the directory holds " + ",".join(names)


def missing_of_identity(store, directory):
    """A guest that has all that it is given."""
    wrong = []
    if directory.names != FILES:
        wrong.append(holds(directory.names))
    newest = store.newest()
    for name, token in directory.tokens.items():
        if not newest or store.tokens.get(digest(token)) != newest:
            wrong.append("%s does not hold the newest token" % name)
    return wrong


def missing_of_export():
    if mounts() != [EXPORT]:
        return ["mounted: %s" % mounts()]
    if not os.statvfs(EXPORT).f_flag & os.ST_RDONLY:
        return ["the export may be written to"]
    if not os.path.samestat(os.stat(EXPORT), os.stat(DIRECTORY)):
        return ["the export shows another directory"]
    return []


def in_state(store, state):
    return [] if store.state == state else ["the guest is %s, not %s" % (store.state, state)]
