//! What docs/streams-audit.md names as a proof is there.

use std::path::Path;

#[test]
fn every_proof_that_the_audit_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let audit = std::fs::read_to_string(root.join("docs/streams-audit.md")).unwrap();
    let mut named = 0;
    for word in audit.split('`').skip(1).step_by(2) {
        let (file, test) = word.split_once("::").unwrap_or((word, ""));
        let is_file = ["tests/", "src/", "docs/", "benches/"]
            .iter()
            .any(|folder| file.starts_with(folder));
        if !is_file {
            continue;
        }
        let text = std::fs::read_to_string(root.join(file));
        let text = text.unwrap_or_else(|e| panic!("{word}: {e}"));
        assert!(
            test.is_empty() || text.contains(&format!("fn {test}()")),
            "{file} has no test {test}"
        );
        named += 1;
    }
    assert!(named > 40, "only {named} proofs were found");
}
