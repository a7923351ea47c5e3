use super::*;

fn record(n: usize) -> Vec<u8> {
    let len = n * 37 % 5_000;
    (0..len).map(|it| convert_byte(it * n)).collect()
}

fn convert_byte(n: usize) -> u8 {
    u8::try_from(n % 251).unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn what_is_written_is_read_again_also_by_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let (mut segments, spots) = Segments::open(folder.path()).unwrap();
    assert_eq!(spots, []);
    let spots: Vec<Spot> = (0..100)
        .map(|n| segments.append(&record(n)).unwrap())
        .collect();
    for (n, spot) in spots.iter().enumerate().rev() {
        assert_eq!(segments.read(*spot).unwrap(), record(n));
    }
    drop(segments);
    let (mut segments, found) = Segments::open(folder.path()).unwrap();
    assert_eq!(found, spots);
    let more = segments.append(&record(100)).unwrap();
    for (n, spot) in found.iter().chain([&more]).enumerate() {
        assert_eq!(segments.read(*spot).unwrap(), record(n));
    }
}

#[test]
fn a_segment_goes_with_the_last_that_is_wanted_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut segments, _) = Segments::open(folder.path()).unwrap();
    let large = vec![7; 1 << 20];
    let spots: Vec<Spot> = (0..40).map(|_| segments.append(&large).unwrap()).collect();
    let before = files(folder.path()).len();
    assert!(before >= 5, "{before} segments");
    let (late, early) = (&spots[20..], &spots[..20]);
    for spot in late {
        segments.release(*spot).unwrap();
        assert!(segments.read(early[0]).is_ok());
    }
    assert!(files(folder.path()).len() <= before / 2 + 1);
    for spot in early {
        segments.release(*spot).unwrap();
    }
    assert_eq!(files(folder.path()), [] as [PathBuf; 0]);
    assert_eq!(segments.bytes(), 0);
    let spot = segments.append(b"on").unwrap();
    assert_eq!(segments.read(spot).unwrap(), b"on");
}

#[test]
fn a_torn_write_is_cut_wherever_it_was_torn() {
    let folder = tempfile::tempdir().unwrap();
    let (mut segments, _) = Segments::open(folder.path()).unwrap();
    let spots: Vec<Spot> = (1..4)
        .map(|n| segments.append(&record(n)).unwrap())
        .collect();
    drop(segments);
    let file = files(folder.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    for len in 0..whole.len() {
        // What the system had not written may be missing, or zeros.
        for zeros in [0, 100] {
            let mut torn = whole[..len].to_vec();
            torn.resize(len + zeros, 0);
            fs::write(&file, &torn).unwrap();
            let (mut segments, found) = Segments::open(folder.path()).unwrap();
            let is_whole = |spot: &&Spot| {
                usize::try_from(spot.offset).unwrap()
                    + HEAD_BYTES
                    + usize::try_from(spot.len).unwrap()
                    <= len
            };
            let expected: Vec<Spot> = spots.iter().filter(is_whole).copied().collect();
            // Zeros at its end may be what was to stand there.
            assert!(found.starts_with(&expected), "torn at {len}");
            for (n, spot) in found.iter().enumerate() {
                assert_eq!(
                    segments.read(*spot).unwrap(),
                    record(n + 1),
                    "torn at {len}"
                );
            }
            let spot = segments.append(b"what comes next").unwrap();
            assert_eq!(segments.read(spot).unwrap(), b"what comes next");
            drop(segments);
            for file in files(folder.path()) {
                fs::remove_file(file).unwrap();
            }
        }
    }
}

#[test]
fn what_was_damaged_is_never_given() {
    let folder = tempfile::tempdir().unwrap();
    let (mut segments, _) = Segments::open(folder.path()).unwrap();
    let spots = [1, 2].map(|n| segments.append(&record(n)).unwrap());
    let file = files(folder.path()).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    bytes[HEAD_BYTES + 5] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert!(segments.read(spots[0]).is_err());
    assert_eq!(segments.read(spots[1]).unwrap(), record(2));
}

#[test]
fn what_was_released_or_damaged_is_not_found_again_and_all_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let (mut segments, _) = Segments::open(folder.path()).unwrap();
    let spots: Vec<Spot> = (1..9)
        .map(|n| segments.append(&record(n)).unwrap())
        .collect();
    for released in [0, 3] {
        segments.release(spots[released]).unwrap();
        assert!(segments.read(spots[released]).is_err());
    }
    drop(segments);
    let file = files(folder.path()).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    let at = usize::try_from(spots[5].offset).unwrap();
    bytes[at + HEAD_BYTES] ^= 1;
    fs::write(&file, bytes).unwrap();
    let (mut segments, found) = Segments::open(folder.path()).unwrap();
    let left = [1, 2, 4, 6, 7].map(|n| spots[n]);
    assert_eq!(found, left);
    for spot in left {
        assert!(segments.read(spot).is_ok());
        segments.release(spot).unwrap();
    }
    assert_eq!(files(folder.path()), [] as [PathBuf; 0]);
}
