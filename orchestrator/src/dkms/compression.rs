//! Compressing modules as the kernel's own are, with the programs and options of dkms.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read, Seek, Write},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use kiln_durable::regular;
use kiln_kernel::{
    module::{ModuleInfo, VersionInfo},
    sizes,
};

use super::{framework::Variables, suffix::Suffix};

/// The most that a compressed module is taken to hold, in bytes: it is in memory as a whole, and a few kilobytes can
/// grow into any number.
const MODULE: u64 = 512 << 20;

/// Compresses a module in place; gives the path of what there is then, and how the program ended. One that fails
/// leaves the module as it was.
pub(crate) fn compress(
    module: &Path,
    suffix: Suffix,
    variables: &Variables,
) -> (PathBuf, Option<ExitStatus>) {
    let (program, options) = match suffix {
        Suffix::Plain => return (module.to_owned(), None),
        Suffix::Gzip => ("gzip", "compress_gzip_opts"),
        Suffix::Xz => ("xz", "compress_xz_opts"),
        Suffix::Zstd => ("zstd", "compress_zstd_opts"),
    };
    let status = Command::new(program)
        .args(variables.value(options).split_whitespace())
        .arg("-f")
        .arg(module)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    let compressed = {
        let mut name = module.as_os_str().to_owned();
        name.push(suffix.compression());
        PathBuf::from(name)
    };
    let path = match &status {
        Ok(status) if status.success() && compressed.is_file() => {
            // zstd keeps its input unless the options say otherwise.
            let _ = fs::remove_file(module);
            compressed
        }
        _ => {
            let _ = fs::remove_file(&compressed);
            module.to_owned()
        }
    };
    (path, status.ok())
}

/// The content of a module file, compressed or not, as its name says.
///
/// # Errors
/// Fails if the file cannot be read or is not what its name says.
pub(crate) fn read_module(path: &Path) -> io::Result<Vec<u8>> {
    let file = regular::open_at_once(path)?;
    match ending(path) {
        Some(ending) => up_to(MODULE, ending, file),
        None => regular::read_opened(&file, sizes::BINARY),
    }
}

/// What a module file says of the kernel that it is for, compressed or not, as its name says.
///
/// # Errors
/// Fails if the file cannot be read, is not what its name says, or no module.
pub(crate) fn info_of(path: &Path) -> Result<ModuleInfo, String> {
    let content = regular::open_at_once(path).and_then(|file| Content::of(path, file));
    let info = match content.map_err(|error| error.to_string())? {
        Content::Memory(bytes) => ModuleInfo::parse(&bytes),
        Content::File(file) => ModuleInfo::of_file(file),
    };
    info.map_err(|error| error.to_string())
}

/// What a module file says of its version, compressed or not, as its name says.
///
/// # Errors
/// Fails if the file cannot be read or is not what its name says.
pub(crate) fn version_of(path: &Path, file: File) -> io::Result<VersionInfo> {
    Ok(match Content::of(path, file)? {
        Content::Memory(bytes) => VersionInfo::parse(&bytes),
        Content::File(file) => VersionInfo::of_file(file),
    })
}

/// The content of a module.
enum Content {
    Memory(Vec<u8>),
    File(File),
}

impl Content {
    /// As much of what is decompressed as is in memory; more is in a file without a name.
    const SMALL: u64 = 32 << 20;

    fn of(path: &Path, file: File) -> io::Result<Self> {
        let Some(ending) = ending(path) else {
            return Ok(Self::File(file));
        };
        let mut from = decoder(ending, file)?;
        let mut bytes = Vec::new();
        from.by_ref()
            .take(Self::SMALL + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 <= Self::SMALL {
            return Ok(Self::Memory(bytes));
        }
        let mut large = tempfile::tempfile()?;
        large.write_all(&bytes)?;
        copy_up_to(MODULE, from, &mut large)?;
        large.rewind()?;
        Ok(Self::File(large))
    }
}

/// The end of a module's name that says how it is compressed.
fn ending(path: &Path) -> Option<&str> {
    let ending = path.extension()?.to_str()?;
    ["gz", "xz", "zst"].contains(&ending).then_some(ending)
}

fn up_to(limit: u64, ending: &str, from: impl Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    copy_up_to(limit, decoder(ending, from)?, &mut content)?;
    Ok(content)
}

fn decoder<'c>(ending: &str, from: impl Read + 'c) -> io::Result<Box<dyn Read + 'c>> {
    let from = BufReader::new(from);
    Ok(match ending {
        "gz" => Box::new(flate2::bufread::GzDecoder::new(from)),
        "xz" => Box::new(liblzma::bufread::XzDecoder::new(from)),
        _ => Box::new(zstd::stream::read::Decoder::with_buffer(from)?),
    })
}

fn copy_up_to(limit: u64, from: impl Read, to: &mut impl Write) -> io::Result<()> {
    match io::copy(&mut from.take(limit + 1), to)? > limit {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_beyond_any_module_is_none() {
        let zeros = zstd::encode_all(&[0_u8; 1000][..], 1).unwrap();
        assert_eq!(up_to(1000, "zst", &zeros[..]).unwrap().len(), 1000);
        let kind = up_to(999, "zst", &zeros[..]).unwrap_err().kind();
        assert_eq!(kind, io::ErrorKind::FileTooLarge);
    }
}
