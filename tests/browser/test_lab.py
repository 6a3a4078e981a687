"""The ground under the browser tests: a stock slider in the JupyterLab that they drive."""

from playwright.sync_api import expect

SLIDER = "import ipywidgets\nslider = ipywidgets.IntSlider(value=3, description='speed')\nslider"


def test_a_slider_and_its_kernel_agree(lab_page):
    notebook = lab_page([SLIDER])
    handle = notebook.output(0).get_by_role("slider")
    expect(handle).to_have_attribute("aria-valuetext", "3")
    handle.focus()
    notebook.page.keyboard.press("ArrowRight")
    expect(handle).to_have_attribute("aria-valuetext", "4")
    expect(notebook.output(0).locator(".widget-readout")).to_have_text("4")
    assert notebook.execute("print(slider.value)").strip() == "4"
    assert notebook.errors == []


def test_the_theme_changes(lab_page):
    notebook = lab_page(["print('hello')"])
    background = "() => getComputedStyle(document.body).getPropertyValue('--jp-layout-color0').trim()"
    light = notebook.page.evaluate(background)
    notebook.theme("JupyterLab Dark")
    assert notebook.page.evaluate(background) != light
    assert notebook.errors == []


def test_a_failing_cell_fails_the_test(lab_page):
    notebook = lab_page(["1 / 0"], run=False)
    notebook.command("notebook:run-all-cells")
    notebook.wait_until_idle()
    assert "ZeroDivisionError" in notebook.failures()[0]
