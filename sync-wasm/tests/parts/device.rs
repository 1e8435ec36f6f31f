//! An engine on a store in memory, turned by hand; and values written and read as lines of JavaScript.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use js_sys::{Array, Function, Reflect, Uint8Array};
use sync_wasm::{EngineError, Replica};
use wasm_bindgen::{JsCast as _, JsValue};

/// What an expression of JavaScript gives.
pub(crate) fn js(source: &str) -> JsValue {
    js_sys::eval(&format!("({source})")).unwrap_or_else(|_| panic!("no JavaScript: {source}"))
}

/// The array that an expression gives.
pub(crate) fn array(source: &str) -> Array {
    js(source).unchecked_into()
}

/// A value as a line of JSON; what JSON has no form for is named.
pub(crate) fn show(value: &JsValue) -> String {
    let show: Function = js(r"(value) => JSON.stringify(value, function (key, value) {
        const raw = this[key];
        if (raw instanceof Date) return `date ${raw.getTime()}`;
        if (raw instanceof Uint8Array) return `bytes ${raw}`;
        return typeof raw === 'bigint' ? `${raw}n` : value;
    }) ?? 'undefined'")
    .unchecked_into();
    let shown = show.call1(&JsValue::UNDEFINED, value).expect("it has no circles");
    shown.as_string().expect("it is a line")
}

/// A property of an object.
pub(crate) fn get(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &key.into()).expect("it is an object")
}

/// A property that is a string.
pub(crate) fn word(object: &JsValue, key: &str) -> String {
    get(object, key).as_string().unwrap_or_default()
}

/// The code of what JavaScript catches, which is an `Error` with words to read.
#[track_caller]
pub(crate) fn code<T>(result: Result<T, impl Into<JsValue>>) -> String {
    let Err(error) = result else { panic!("it is done") };
    let error: JsValue = error.into();
    assert!(error.is_instance_of::<js_sys::Error>() && word(&error, "message").len() > 10, "{}", show(&error));
    word(&error, "code")
}

/// Whether two lines are the same. The module's build leaves out how values are written for whoever debugs.
#[track_caller]
pub(crate) fn same(got: impl AsRef<str>, want: &str) {
    assert!(got.as_ref() == want, "\n got {}\nwant {want}", got.as_ref());
}

/// What a store keeps, by table and key.
pub(crate) type Rows = BTreeMap<(String, Vec<u8>), Vec<u8>>;

/// An engine and its store.
pub(crate) struct Device {
    pub(crate) replica: Replica,
    pub(crate) store: Rc<RefCell<Rows>>,
    pub(crate) tab: Option<u32>,
    documents: Vec<u32>,
    /// What it told.
    pub(crate) events: Vec<JsValue>,
    /// What it wants done beside reading and writing.
    pub(crate) outputs: Vec<JsValue>,
    /// What commits fail with.
    pub(crate) failure: JsValue,
}

impl Device {
    /// A device with an empty store.
    pub(crate) fn new() -> Self {
        Self::on(&Rc::default(), None, 1)
    }

    /// An engine on a store, with chance of its own.
    pub(crate) fn on(store: &Rc<RefCell<Rows>>, tab: Option<u32>, chance: u8) -> Self {
        let replica = Replica::new(&[chance; 32], true, tab, None).expect("a seed has 32 bytes");
        let (documents, events, outputs) = (Vec::new(), Vec::new(), Vec::new());
        let store = Rc::clone(store);
        let mut device = Self { replica, store, tab, documents, events, outputs, failure: JsValue::UNDEFINED };
        device.drain();
        device
    }

    /// Does what the engine wants until it wants nothing.
    pub(crate) fn drain(&mut self) {
        loop {
            let output = self.replica.poll_output();
            if output.is_undefined() {
                return;
            }
            let task = get(&output, "task").as_f64().unwrap_or_default();
            match word(&output, "kind").as_str() {
                "read" => {
                    let tables = self.read(&output);
                    self.replica.handle_rows(0.0, task, &tables).expect("they are rows");
                }
                "commit" => {
                    if self.failure.is_undefined() {
                        self.write(&output);
                    }
                    self.replica.handle_committed(0.0, task, &self.failure);
                }
                "event" => self.events.push(get(&output, "event")),
                _ => self.outputs.push(output),
            }
        }
    }

    fn read(&self, task: &JsValue) -> Array {
        let prefix = bytes(task, "prefix");
        let rows = |table: JsValue| -> Array {
            let table = table.as_string().expect("a table has a name");
            let store = self.store.borrow();
            let rows = store.iter().filter(|((of, key), _)| *of == table && key.starts_with(&prefix));
            let pair =
                |key: &[u8], value: &[u8]| Array::of2(&Uint8Array::from(key).into(), &Uint8Array::from(value).into());
            rows.map(|((_, key), value)| pair(key, value)).collect()
        };
        Array::from(&get(task, "tables")).iter().map(rows).collect()
    }

    fn write(&self, task: &JsValue) {
        let mut store = self.store.borrow_mut();
        for write in Array::from(&get(task, "writes")).iter() {
            let table = word(&write, "table");
            match word(&write, "kind").as_str() {
                "put" => drop(store.insert((table, bytes(&write, "key")), bytes(&write, "value"))),
                "delete" => drop(store.remove(&(table, bytes(&write, "key")))),
                _ => {
                    let prefix = bytes(&write, "prefix");
                    store.retain(|(of, key), _| *of != table || !key.starts_with(&prefix));
                }
            }
        }
    }

    /// Opens a document, which is there then.
    pub(crate) fn open(&mut self, name: &str) -> u32 {
        let document = self.replica.open(0.0, name).expect("it is a name");
        self.drain();
        assert!(self.told("ready"), "{name} is loaded");
        self.documents.push(document);
        document
    }

    /// Does edits, written as JavaScript, as one change.
    pub(crate) fn change(&mut self, document: u32, edits: &str) -> Result<f64, EngineError> {
        self.replica.change(0.0, 0.0, document, &array(edits), None, None)
    }

    /// Does edits that can be done, and saves them.
    #[track_caller]
    pub(crate) fn edit(&mut self, document: u32, edits: &str) {
        if let Err(error) = self.change(document, edits) {
            panic!("{edits}: {error}");
        }
        self.drain();
    }

    /// The value as a line.
    pub(crate) fn shown(&self, document: u32) -> String {
        show(&self.replica.value(document, &js("() => {}").unchecked_into()).unwrap_or_else(|e| e))
    }

    /// Whether it told an event of this kind.
    pub(crate) fn told(&self, kind: &str) -> bool {
        self.events.iter().any(|event| word(event, "kind") == kind)
    }

    /// The kinds of what it wants done; forgets them.
    pub(crate) fn wants(&mut self) -> String {
        let kinds: Vec<String> = self.outputs.drain(..).map(|output| word(&output, "kind")).collect();
        kinds.join(" ")
    }
}

/// A property that is bytes.
pub(crate) fn bytes(object: &JsValue, key: &str) -> Vec<u8> {
    get(object, key).unchecked_into::<Uint8Array>().to_vec()
}

/// Two tabs on one store, of which the first leads, with a document open in both.
pub(crate) fn two_tabs(name: &str) -> ([Device; 2], u32) {
    let store = Rc::default();
    let mut tabs = [Device::on(&store, Some(0), 1), Device::on(&store, Some(1), 2)];
    tabs[0].replica.handle_lead(0.0, 1.0);
    tabs[0].drain();
    let documents = tabs.each_mut().map(|tab| tab.open(name));
    assert!(documents[0] == documents[1], "they count alike");
    carry(&mut tabs);
    (tabs, documents[0])
}

/// Carries what tabs say to each other until none says anything, and has it applied. What else they want is forgotten.
pub(crate) fn carry(tabs: &mut [Device]) {
    loop {
        let mut said = Vec::new();
        for tab in tabs.iter_mut() {
            tab.drain();
            let from = tab.tab.expect("it has a number");
            said.extend(tab.outputs.drain(..).filter(|o| word(o, "kind") == "tell").map(|tell| (from, tell)));
        }
        if said.is_empty() {
            break;
        }
        for (from, tell) in said {
            let to = get(&tell, "to").as_f64();
            for tab in tabs.iter_mut() {
                let number = tab.tab.expect("it has a number");
                if number != from && to.is_none_or(|to| to == f64::from(number)) {
                    tab.replica.handle_told(0.0, from, bytes(&tell, "message"));
                    tab.drain();
                }
            }
        }
    }
    for tab in tabs {
        for document in tab.documents.clone() {
            tab.replica.apply_waiting(0.0, document);
        }
        tab.drain();
    }
}
