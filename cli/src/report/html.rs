//! Writing HTML in which nothing that was read can be markup: markup is only what stands in this program (`&'static
//! str`), everything else is text and is escaped. File names are chosen by strangers.

use std::fmt::{Display, Write as _};

/// A page being written.
#[derive(Default)]
pub(super) struct Html {
    text: String,
}

impl Html {
    /// Markup of this program's own.
    pub(super) fn markup(&mut self, markup: &'static str) -> &mut Self {
        self.text.push_str(markup);
        self
    }

    /// Text, escaped for elements and quoted attributes alike.
    pub(super) fn text(&mut self, value: impl Display) -> &mut Self {
        // Writing to a string cannot fail.
        let _ = write!(Escaping(&mut self.text), "{value}");
        self
    }

    /// `<name class="class">...</name>`
    pub(super) fn element(
        &mut self,
        name: &'static str,
        class: &'static str,
        inner: impl FnOnce(&mut Self),
    ) -> &mut Self {
        self.markup("<").markup(name);
        if !class.is_empty() {
            self.markup(" class=\"").markup(class).markup("\"");
        }
        self.markup(">");
        inner(self);
        self.markup("</").markup(name).markup(">")
    }

    /// An element with nothing but text.
    pub(super) fn words(
        &mut self,
        name: &'static str,
        class: &'static str,
        value: impl Display,
    ) -> &mut Self {
        self.element(name, class, |h| {
            h.text(value);
        })
    }

    /// A table; `numbers` are the columns that are set to the right. Each cell names its column: on a narrow screen a row
    /// is a list of them, for a table that is wider than the page would hide its end.
    pub(super) fn table(
        &mut self,
        heads: &[&'static str],
        numbers: &[usize],
        rows: impl IntoIterator<Item = Vec<String>>,
    ) {
        self.element("div", "wide", |h| {
            h.element("table", "", |h| {
                h.element("thead", "", |h| {
                    h.element("tr", "", |h| {
                        for (i, head) in heads.iter().enumerate() {
                            h.words("th", number(numbers, i), head);
                        }
                    });
                });
                h.element("tbody", "", |h| {
                    for row in rows {
                        h.element("tr", "", |h| {
                            for (i, cell) in row.iter().enumerate() {
                                h.cell(heads.get(i).copied().unwrap_or_default(), number(numbers, i), |h| {
                                    h.text(cell);
                                });
                            }
                        });
                    }
                });
            });
        });
    }

    /// A cell of a table, with its column's name.
    pub(super) fn cell(
        &mut self,
        head: &'static str,
        class: &'static str,
        inner: impl FnOnce(&mut Self),
    ) -> &mut Self {
        self.markup("<td data-h=\"").text(head).markup("\" class=\"").markup(class).markup("\">");
        inner(self);
        self.markup("</td>")
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

fn number(numbers: &[usize], column: usize) -> &'static str {
    if numbers.contains(&column) { "n" } else { "" }
}

struct Escaping<'a>(&'a mut String);

impl std::fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(c),
                // What a browser would act on, or that turns the direction of what is read.
                c if c.is_control()
                    || ('\u{202a}'..='\u{202e}').contains(&c)
                    || ('\u{2066}'..='\u{2069}').contains(&c) =>
                {
                    self.0.push('\u{fffd}');
                }
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Html;

    #[test]
    fn text_is_never_markup() {
        let mut html = Html::default();
        html.words("p", "x", "<script>alert(\"1\")</script>&'\u{1b}[31m\u{202e}");
        assert_eq!(
            html.finish(),
            "<p class=\"x\">&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;\u{fffd}[31m\u{fffd}</p>"
        );
    }
}
