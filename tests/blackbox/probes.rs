//! kbuild's questions to the compiler: answered once, and as the compiler itself would.

use super::{
    casd::Casd,
    machine::{self, kernel},
    run::Run,
    world::World,
};

/// A package whose PRE_BUILD runs `script`.
fn asking(world: &World, name: &str, script: &str) -> String {
    let package = world.package(name, "PRE_BUILD=ask.sh");
    world.write_script(
        format!("{name}/ask.sh"),
        &format!("#!/bin/sh\n{script}\n:\n"),
    );
    package
}

/// The log of a package's build.
fn log(world: &World, package: &str) -> Run {
    world
        .kiln(format!("log {package} -k {}", kernel()))
        .exits(0)
}

#[test]
fn a_known_answer_needs_no_compiler() {
    let world = World::new();
    let first = asking(&world, "first", "gcc -Wall -c -x c /dev/null -o first.o");
    world.build(&first, "").exits(0);
    // Where no process can be started, GCC's driver cannot run the compiler proper.
    let script = "bash -c 'ulimit -u 1; exec gcc -Wall -c -x c /dev/null -o alone.o' \\
                  && [ -s alone.o ] && echo answered";
    let second = asking(&world, "second", script);
    world.build(&second, "").exits(0);
    log(&world, &second).says("\nanswered\n");
}

#[test]
fn an_answer_is_the_compilers_own() {
    let world = World::new();
    let script = r#"
same() {
    for turn in 1 2; do
        rm -f ours theirs; gcc "$@" -o ours > ours.out 2> ours.err; ours=$?
        /usr/bin/gcc "$@" -o theirs > theirs.out 2> theirs.err; theirs=$?
        [ $ours = $theirs ] && cmp ours.out theirs.out && cmp ours.err theirs.err || echo "differs: $*"
        [ ! -e theirs ] && [ ! -e ours ] || cmp ours theirs || echo "differs: $*"
    done
    echo "exit $ours for $1"
}
same -Wall -c -x c /dev/null
same -Wno-such-thing -Werror=no-such -c -x c /dev/null
same -mno-such-machine -c -x c /dev/null
same -DX=1 -E -x c /dev/null
same -O2 -S -x c /dev/null
echo 'int number = 1;' > source.c
same -c -x c source.c
echo 'int number =;' > source.c
same -c source.c
same -Wall -c -x c /dev/null -include source.c
"#;
    let package = asking(&world, "asking", script);
    world.build(&package, "").exits(0);
    log(&world, &package)
        .says("exit 0 for -Wall\n")
        .says("exit 1 for -mno-such-machine\n")
        .says("exit 1 for -c\n")
        .says("exit 1 for -Wall\n")
        .never_says("differs");
}

#[test]
fn where_another_job_asked_is_in_no_answer() {
    let world = World::new();
    let script = r#"
same() {
    gcc "$@" -x c /dev/null > ours 2> ours.err; /usr/bin/gcc "$@" -x c /dev/null > theirs 2> theirs.err
    cmp ours theirs && cmp ours.err theirs.err || echo "differs: $*"
    gcc "$@" -x c /dev/null -o ours; /usr/bin/gcc "$@" -x c /dev/null -o theirs
    cmp ours theirs || echo "differs with an output: $*"
    rm -f ours* theirs*
}
for option in -g -g3 -ggdb -gdwarf-4 -fworking-directory -fdebug-types-section -fverbose-asm -dD; do
    same $option -E
done
for option in -g '-g -gz' -ggdb2 -frecord-gcc-switches '-ffile-prefix-map=/var=/usr -g' '-Wa,-gdwarf-5'; do
    gcc $option -c -x c /dev/null -o ours; /usr/bin/gcc $option -c -x c /dev/null -o theirs
    cmp ours theirs || echo "differs: $option -c"
done
echo asked
"#;
    for name in ["one", "longer"] {
        let package = asking(&world, name, script);
        world.build(&package, "").exits(0);
        log(&world, &package)
            .says("\nasked\n")
            .never_says("differs");
    }
}

#[test]
fn a_job_cannot_answer_for_others() {
    let world = World::new();
    // A compiler of the job's own that claims to know every option.
    let script = "mkdir own; printf '#!/bin/sh\\nexit 0\\n' > own/gcc; chmod +x own/gcc\n\
                  PATH=$PWD/own:$PATH gcc -mown-option -c -x c /dev/null -o x && echo own\n\
                  PATH=/run/kiln/bin:$PWD/own gcc -mown-option -c -x c /dev/null -o x && echo behind\n\
                  cp own/gcc /run/kiln/kiln-cc; rm -f /run/kiln/probes";
    let hostile = asking(&world, "hostile", script);
    world.build(&hostile, "").exits(0);
    log(&world, &hostile).says("\nown\n").says("\nbehind\n");
    let script = "gcc -mown-option -c -x c /dev/null -o x || echo unknown";
    let other = asking(&world, "other", script);
    world.build(&other, "").exits(0);
    log(&world, &other).says("\nunknown\n");
}

#[test]
fn a_job_on_an_engine_takes_the_answers_with_it() {
    let (world, engine) = (World::new(), Casd::engine());
    let compiler = machine::compiler();
    // The first question of a sheet, where the compiler proper has too little memory to start.
    let script = format!(
        r#"sheet=$(ls /run/kiln/probes/usr/bin/{compiler}/*-o | head -n 1)
sed -e "1d; 2s/^'//; /^')/,\$d" "$sheet" > question
mapfile -t words < question
ask() {{ (ulimit -v 30000; exec {compiler} "$@"); }}
rm -f made; ask "${{words[@]}}" -o made && [ -s made ] && echo "answered ${{#words[@]}}"
ask "${{words[@]}}" -Wunasked -o made || echo 'compiled in vain'"#
    );
    let package = asking(&world, "asking", &script);
    world.write_script("asking/ask.sh", &format!("#!/bin/bash\n{script}\n:\n"));
    let endpoint = engine.endpoint();
    world
        .build(&package, &format!("--remote-exec {endpoint}"))
        .exits(0);
    log(&world, &package)
        .says("\nanswered ")
        .says("\ncompiled in vain\n");
}
