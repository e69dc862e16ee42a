# make demo   the main job on real packages and kernels, twice: built, then from the cache
# make test   every test; make bench measures against dkms and plain make; make install

PREFIX ?= /usr
CARGO ?= cargo
KILN = target/release/kiln

.PHONY: all demo test bench lint install clean

all:
	$(CARGO) build --release --locked

demo: all
	tests/provision.sh demo
	tests/demo.sh $(KILN)

test:
	tests/provision.sh test
	$(CARGO) build --workspace --locked
	$(CARGO) test --workspace --locked

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

bench: all
	tests/provision.sh bench
	$(CARGO) run --release --locked -p kiln-benches -- $(KILN)

install: all
	install -D -m 755 $(KILN) $(DESTDIR)$(PREFIX)/bin/kiln

clean:
	$(CARGO) clean
	rm -rf corpus
