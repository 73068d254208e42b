//! What mends findings, as changes of their file: for formats that offer it to an editor.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{manifests::Manifest, set::Places};
use crate::{
    render::{Checked, Fix},
    source::{
        Chunk, Position, Span,
        edit::{self, TextEdit, Wanted},
        path,
    },
};

/// How many findings of one object get one: each takes a reading of everything beside it.
const MOST: usize = 16;

/// Gives each finding that needs no person the change of its file that mends it and nothing else.
/// Where the text cannot be changed so, there is none.
pub(super) fn add(places: &Places<'_>, objects: &mut [(&Manifest, &mut Checked)]) {
    let mut found: Vec<Found> = Vec::new();
    for round in 0..MOST {
        // One finding of every object at a time, so that all take one reading together.
        let mended: Vec<(Mended, &Manifest)> = objects
            .iter()
            .enumerate()
            .filter_map(|(object, (manifest, checked))| {
                Some((mended(places, object, manifest, checked, round)?, *manifest))
            })
            .collect();
        if mended.is_empty() {
            break;
        }
        let wanted: Vec<Wanted<'_>> = mended
            .iter()
            .map(|(one, manifest)| Wanted {
                document: manifest.document,
                prefix: &manifest.prefix,
                value: &one.value,
            })
            .collect();
        let edits = edit::rewrite(&places.part.chunk, &wanted);
        found.extend(mended.iter().zip(edits).filter_map(|((one, _), edits)| {
            let edits = edits.ok().filter(|edits| !edits.is_empty())?;
            Some(Found { object: one.object, finding: one.finding, edits })
        }));
    }
    let ends = found.iter().flat_map(|one| &one.edits).map(|edit| &edit.range);
    let positions =
        positions(&places.part.chunk, ends.flat_map(|ends| [ends.start, ends.end]).collect());
    for Found { object, finding, edits } in found {
        let finding =
            objects.get_mut(object).and_then(|(_, checked)| checked.findings.get_mut(finding));
        let Some(finding) = finding else { continue };
        let edits = edit::in_order(&edits).into_iter().map(|edit| {
            let position = |offset| positions.get(offset).copied();
            let span =
                Span { start: position(&edit.range.start)?, end: position(&edit.range.end)? };
            Some((span, edit.text.clone()))
        });
        let description = finding.mend.clone().into_owned();
        finding.fix = edits.collect::<Option<_>>().map(|edits| Fix { description, edits });
    }
}

/// The changes for one finding.
struct Found {
    object: usize,
    finding: usize,
    edits: Vec<TextEdit>,
}

/// An object without one of its findings.
struct Mended {
    object: usize,
    finding: usize,
    value: Value,
}

/// The object without the finding that is the `round`th of those that need no person.
fn mended(
    places: &Places<'_>,
    object: usize,
    manifest: &Manifest,
    checked: &Checked,
    round: usize,
) -> Option<Mended> {
    let repairs = checked.findings.iter().enumerate();
    let mut repairs = repairs.filter_map(|(at, finding)| Some((at, finding.repair.as_ref()?)));
    let (finding, repair) = repairs.nth(round)?;
    let mut value = path::get(places.document(manifest)?.value(), &manifest.prefix)?.clone();
    repair.apply(&mut value).then_some(Mended { object, finding, value })
}

/// Where bytes of the whole text stand, which are all in the chunk, in one reading of it.
fn positions(chunk: &Chunk<'_>, offsets: BTreeSet<usize>) -> BTreeMap<usize, Position> {
    let mut positions = BTreeMap::new();
    let mut offsets = offsets.into_iter().peekable();
    let mut here = chunk.start;
    let end = chunk.text.len();
    let chars = chunk.text.char_indices().map(|(at, char)| (at, Some(char)));
    for (at, char) in chars.chain([(end, None)]) {
        here.offset = chunk.start.offset.saturating_add(at);
        while let Some(offset) = offsets.next_if(|offset| *offset <= here.offset) {
            if offset == here.offset {
                positions.insert(offset, here);
            }
        }
        if char == Some('\n') {
            here.line = here.line.saturating_add(1);
            here.column = 1;
        } else {
            here.column = here.column.saturating_add(1);
        }
    }
    positions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source;

    #[test]
    fn bytes_have_lines_and_columns() {
        let text = "a: \u{e4}\n---\nb: \u{1f30a} c\r\nd";
        let chunks = source::chunks(text);
        let chunk = chunks.last().unwrap();
        let start = chunk.start.offset;
        let at = |part: &str| text.find(part).unwrap();
        let offsets = [start, at("c\r"), at("d"), text.len()];
        let found = positions(chunk, offsets.into_iter().chain([0, at("\u{1f30a}") + 1]).collect());
        let found: Vec<_> = found.values().map(|it| (it.line, it.column, it.offset)).collect();
        let start_line = chunk.start.line;
        assert_eq!(
            found,
            [(start_line, 1, start), (3, 6, at("c\r")), (4, 1, at("d")), (4, 2, text.len())]
        );
    }
}
