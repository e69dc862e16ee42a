//! Packages of modules for kernels of several distributions.

use std::{fs, path::PathBuf};

use super::{
    farm_outputs::{said, tree},
    machine::{kernel, other_kernel},
    world::World,
};

#[test]
fn packages_are_those_of_the_kernels_distribution() {
    let world = World::new();
    world.package("one", "");
    let text = |family: &str, farm: &str| {
        format!(
            "packages = [\"one\"]\n[[kernels]]\nrelease = {:?}\n{family}\n[[kernels]]\nrelease = {:?}\n\
             [outputs]\ndirectory = \"out\"\nformats = [\"deb\", \"rpm\"]\n{farm}",
            kernel(),
            other_kernel()
        )
    };
    let packages = |family: &str, farm: &str| {
        world.write("farm.toml", text(family, farm));
        world.kiln("farm run").exits(0);
        let out = world.path("out");
        let made: Vec<PathBuf> = tree(&out).into_keys().collect();
        let of = |release: &str, ending: &str| {
            let mut files = made.iter().map(|path| out.join(path));
            files.find(|path| {
                let name = path.file_name().unwrap().to_str().unwrap();
                name.contains(release) && name.ends_with(ending)
            })
        };
        let found = [
            (kernel(), "deb"),
            (kernel(), "rpm"),
            (other_kernel(), "deb"),
            (other_kernel(), "rpm"),
        ]
        .map(|(release, ending)| of(release, ending));
        let depends = found[0]
            .as_ref()
            .map(|deb| said("dpkg-deb", &["-f", deb.to_str().unwrap(), "Depends"], &out));
        let places = found[1]
            .as_ref()
            .map(|rpm| said("rpm", &["-qpl", rpm.to_str().unwrap()], &out));
        let made = found.map(|file| file.is_some());
        fs::remove_dir_all(&out).unwrap();
        (
            made,
            depends.unwrap_or_default(),
            places.unwrap_or_default(),
        )
    };
    // What an entry says is for its kernels alone, and no package of another format is made.
    let (made, _, places) = packages("family = \"suse\"", "");
    assert_eq!(made, [false, true, true, true]);
    assert!(
        places.contains(&format!("/usr/lib/modules/{}/updates/one.ko", kernel())),
        "{places}"
    );
    // It comes before what is said of all.
    let (made, depends, _) = packages(
        "family = \"ubuntu\"",
        "[outputs.packages]\nfamily = \"debian\"\n",
    );
    assert_eq!(made, [true, false, true, true]);
    assert!(depends.contains("linux-image-unsigned-"), "{depends}");
    // Without either it is guessed.
    let (made, depends, places) = packages("", "");
    assert_eq!(made, [true; 4]);
    let of_this_machine = fs::read_to_string("/etc/os-release")
        .unwrap()
        .contains("\nID=ubuntu\n");
    let unsigned = if of_this_machine {
        "linux-image-unsigned-".to_owned()
    } else {
        format!("{}-unsigned", kernel())
    };
    assert!(depends.contains(&unsigned), "{depends}");
    assert!(places.contains("/extra/one.ko"), "{places}");
}
