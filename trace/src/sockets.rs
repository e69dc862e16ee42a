//! The calls that name sockets, and the paths that they name (unix(7)).

use std::io;

use crate::sys;

/// The calls.
pub(crate) const SOCKET_CALLS: [libc::c_long; 5] = [
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
];

/// `struct msghdr` begins with the address and its length; `struct mmsghdr` is one with a number after it.
const MESSAGE: u64 = 64;

/// No call sends more messages (UIO_MAXIOV).
const MESSAGES: u64 = 1024;

/// `struct sockaddr_un`: the family, and the path.
const ADDRESS: u64 = 110;

/// The paths of the sockets that a call names.
pub(crate) fn addresses(call: &libc::seccomp_notif) -> io::Result<Vec<Vec<u8>>> {
    let arguments = &call.data.args;
    let named = match libc::c_long::from(call.data.nr) {
        libc::SYS_connect | libc::SYS_bind => vec![(arguments[1], arguments[2])],
        libc::SYS_sendto => vec![(arguments[4], arguments[5])],
        libc::SYS_sendmsg => vec![message(call.pid, arguments[1])?],
        _ => (0..arguments[2].min(MESSAGES))
            .map(|index| message(call.pid, arguments[1].wrapping_add(index * MESSAGE)))
            .collect::<io::Result<_>>()?,
    };
    let paths = named
        .into_iter()
        .filter(|(address, _)| *address != 0)
        .map(|(address, length)| path(call.pid, address, length & 0xffff_ffff));
    Ok(paths
        .collect::<io::Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect())
}

/// The address in a message's header, and its length.
fn message(pid: u32, header: u64) -> io::Result<(u64, u64)> {
    let mut bytes = [0; 16];
    let read = read(pid, header, &mut bytes)?;
    let (address, length) = bytes.split_at(8);
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
    match read == bytes.len() {
        true => Ok((word(address), word(length))),
        false => Ok((0, 0)),
    }
}

/// The path of an address, if it has one.
fn path(pid: u32, address: u64, length: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; length.min(ADDRESS) as usize];
    let read = read(pid, address, &mut bytes)?;
    bytes.truncate(read);
    let Some((family, path)) = bytes.split_first_chunk() else {
        return Ok(None);
    };
    if i32::from(u16::from_le_bytes(*family)) != libc::AF_UNIX {
        return Ok(None);
    }
    let end = path.iter().position(|byte| *byte == 0);
    let path = &path[..end.unwrap_or(path.len())];
    Ok((!path.is_empty()).then(|| path.to_vec()))
}

/// Reads from a process's memory; how much is there.
fn read(pid: u32, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match sys::read_memory(pid, address.wrapping_add(done as u64), &mut buffer[done..])? {
            0 => break,
            count => done += count,
        }
    }
    Ok(done)
}
