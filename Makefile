# make demo   the main job on real packages and kernels, twice: built, then from the cache
# make test   every test; make bench measures against dkms and plain make
# make planted, make fuzz, make soak   what takes long: docs/guarantees.md
# make install, make deb, make rpm: see docs/packaging.md

PREFIX ?= /usr
FAMILY ?=
CARGO ?= cargo
KILN = target/release/kiln

# What packages are made from; a test makes them from what it tests.
PROFILE ?= release
OUTPUT ?= target/packages
BUILT = $(or $(CARGO_TARGET_DIR),target)/$(PROFILE:dev=debug)
DIST = $(BUILT)/kiln-dist
CARGO_DEB = target/tools/bin/cargo-deb
CARGO_FUZZ = target/tools/bin/cargo-fuzz
CARGO_DENY = target/tools/bin/cargo-deny
export SOURCE_DATE_EPOCH ?= $(or $(shell git log -1 --format=%ct 2>/dev/null),0)

.PHONY: all demo test planted fuzz soak bench lint install uninstall deb rpm packages clean

all:
	$(CARGO) build --release --locked

demo: all
	tests/provision.sh demo
	tests/demo.sh $(KILN)

test:
	tests/provision.sh test
	$(CARGO) build --workspace --locked
	$(CARGO) test --workspace --locked

# Each bug of tests/planted/ is seen by a test; PLANTED names some of them.
planted:
	tests/provision.sh test
	CARGO='$(CARGO)' tests/planted/run.sh $(PLANTED)

# Each target for FUZZ_SECONDS; FUZZ names some of them. Needs a nightly compiler.
fuzz: $(CARGO_FUZZ)
	fuzz/run.sh $(FUZZ)

# The long forms of tests.
soak:
	KILN_SOAK=1 $(CARGO) test --locked -p kiln-cache --test cache hostile
	KILN_SOAK=1 $(CARGO) test --release --locked -p kiln --test mutation soak -- --test-threads=1

lint: $(CARGO_DENY)
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy -p kiln --no-default-features --locked -- -D warnings
	! $(CARGO) tree -p kiln --no-default-features --locked -e normal | grep -E 'tokio|tonic'
	env -u CARGO $(CARGO_DENY) --offline check bans licenses sources
	@# The database of advisories is a repository: without a network the last copy will do, and without a copy it is said.
	@if timeout 60 env -u CARGO $(CARGO_DENY) fetch db >/dev/null 2>&1 || ls -d $${CARGO_HOME:-$$HOME/.cargo}/advisory-db*/*/.git >/dev/null 2>&1; then \
	    echo '$(CARGO_DENY) --offline check advisories'; env -u CARGO $(CARGO_DENY) --offline check advisories; \
	else echo 'lint: advisories are not checked: their database cannot be fetched'; fi

bench: all
	tests/provision.sh bench
	$(CARGO) run --release --locked -p kiln-benches -- $(KILN)

# Hooks are for the family of distributions FAMILY: debian, redhat or generic.
install: all
	$(DIST) install --root '$(DESTDIR)/' --prefix '$(PREFIX)' $(FAMILY:%=--family %) $(BUILT)/kiln

uninstall: all
	$(DIST) uninstall --root '$(DESTDIR)/' --prefix '$(PREFIX)' $(FAMILY:%=--family %)

# A kiln without what only a debugger reads.
packages:
	$(CARGO) build --profile $(PROFILE) --locked --workspace
	strip -o $(BUILT)/kiln-stripped $(BUILT)/kiln

deb: packages $(CARGO_DEB)
	rm -rf target/package
	$(DIST) install --root target/package --family debian $(BUILT)/kiln-stripped
	mkdir -p '$(OUTPUT)'
	$(CARGO_DEB) -p kiln-dist --no-build --no-strip --locked --output '$(OUTPUT)'

rpm: packages
	$(DIST) rpm --output '$(OUTPUT)' $(BUILT)/kiln-stripped

$(CARGO_DENY):
	CARGO_TARGET_DIR=target/tools/build $(CARGO) install --quiet --locked --debug --root target/tools cargo-deny@0.18.9

$(CARGO_DEB):
	CARGO_TARGET_DIR=target/tools/build $(CARGO) install --quiet --locked --debug --root target/tools cargo-deb@3.8.0
	rm -rf target/tools/build

$(CARGO_FUZZ):
	CARGO_TARGET_DIR=target/tools/build $(CARGO) install --quiet --locked --debug --root target/tools cargo-fuzz@0.13.1
	rm -rf target/tools/build

clean:
	$(CARGO) clean
	rm -rf corpus
